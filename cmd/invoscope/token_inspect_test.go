package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

// jwtOf makes a token with these parts, that nobody signed.
func jwtOf(header, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
}

func TestTokenInspect(t *testing.T) {
	s := newSession(t)
	s.do("key", "generate")
	good := s.do("token", "issue", "--scope", "logs:read", "--subject", "ci")
	opaque := s.do("token", "issue", "--scope", "logs:read", "--opaque")
	elsewhere := newSession(t)
	other := elsewhere.do("token", "issue", "--scope", "logs:read")
	parts := strings.Split(good, ".")
	s.do("token", "revoke", "gone", "--issuer", "https://idp.example.com", "--why", "he left")
	s.now = s.now.Add(24 * time.Hour)

	s.inspect(jwtOf(`{"alg":"RS256","kid":"2026","typ":"JWT"}`, `{"iss":"https://idp.example.com","sub":"alice","aud":["invoscope","x"],`+
		`"exp":1795608000,"iat":1795435200.5,"nbf":1795435100,"realm_access":{"roles":["a","b"]},"email":"alice@example.com","scope":["logs:read"]}`))
	s.inspect(jwtOf(`{"alg":"RS256"}`, `{"iss":"https://idp.example.com","exp":1700000000}`))
	s.inspect(jwtOf(`{"alg":"RS256"}`, `{"iss":"https://idp.example.com","jti":"gone"}`))
	s.inspect(jwtOf(`{"alg":"none"}`, `{"iss":"invoscope"}`))
	s.inspect(jwtOf(`{"alg":"HS256","kid":7}`, `{"iss":7,"exp":"soon","aud":{},"tenant":["a"]}`))
	s.inspect(parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)))
	s.inspect(other)
	s.inspect(opaque[:len(opaque)-1] + map[bool]string{true: "2", false: "3"}[strings.HasSuffix(opaque, "3")])
	s.inspect("inv_tok_x_y")
	s.inspect("junk")
	s.inspect("two words")
	s.inspect("")
	s.do("token", "inspect", "--token-file", filepath.Join(s.dir, "none"))
	s.do("token", "inspect", "x", "--token-file", "y")
	s.inspect("", opaque)
	s.now = s.now.Add(91 * 24 * time.Hour)
	s.inspect(good)
	s.inspect(opaque)
	s.golden("inspect")
}

// Nothing that a token or a file says does something to the terminal.
func TestHostileText(t *testing.T) {
	const hostile = "\x1b]0;pwned\x07\x1b[2J\u202e\u0085\x7f\r\nroot"
	s := newSession(t)
	s.do("key", "generate")
	text, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	record := fmt.Sprintf(`{"version":1,"id":"ABC","kind":"jwt","kid":%[1]s,"tenant":"acme","subject":%[1]s,"scopes":[%[1]s],`+
		`"issued":"2026-11-23T12:00:00Z","expires":"2026-12-23T12:00:00Z"}`, text)
	if err := os.MkdirAll(filepath.Join(s.dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "tokens", "ABC.json"), []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := jwtOf(fmt.Sprintf(`{"alg":%[1]s,"kid":%[1]s}`, text),
		fmt.Sprintf(`{"iss":%[1]s,"sub":%[1]s,"jti":%[1]s,"aud":%[1]s,"tenant":%[1]s,"tenants":[%[1]s],"scope":%[1]s,%[1]s:%[1]s}`, text))
	own := jwtOf(fmt.Sprintf(`{"alg":"EdDSA","kid":%[1]s}`, text), fmt.Sprintf(`{"iss":"invoscope","sub":%[1]s}`, text))
	for _, args := range [][]string{
		{"token", "list"},
		{"token", "list", "-o", "json"},
		{"token", "inspect", foreign},
		{"token", "inspect", foreign, "-o", "json"},
		{"token", "inspect", own},
		{"token", "inspect", jwtOf(string(text), "{}")},
		{"token", "revoke", hostile, "--why", hostile},
		{"token", "revoke", "--subject", hostile, "--tenant", hostile, "--issuer", hostile, "--why", hostile},
		{"token", "list"},
		{"token", "list", "-o", "json"},
		{"token", "inspect", foreign},
		{"token", "inspect", foreign, "-o", "json"},
		{"token", "issue", "--scope", "logs:read", "--subject", hostile},
		{"key", "list"},
	} {
		stdout, stderr, err := s.run(t, append(args, "--data-dir", s.dir)...)
		printed := stdout + stderr
		if err != nil {
			printed += err.Error()
		}
		if printed == "" {
			t.Errorf("%.2q printed nothing", args)
		}
		if strings.ContainsFunc(printed, harmful) {
			t.Errorf("%.2q printed %q", args, printed)
		}
	}
}

// harmful is what a terminal doesn't just print.
func harmful(r rune) bool {
	return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

// FuzzTokenInspect looks for a panic, for text that does something to the terminal, and
// for a token that is said to be good and isn't the one that was issued.
func FuzzTokenInspect(f *testing.F) {
	s := store.Open(f.TempDir(), time.Now)
	good, _, err := s.Issue(tenancy.Grant{Tenant: "acme", Scopes: tenancy.Scopes(), Life: 1000 * day}, store.JWT)
	if err != nil {
		f.Fatal(err)
	}
	known, err := readKnown(s)
	if err != nil {
		f.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for _, part := range parts[:2] {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), string(text))
	}
	f.Add(`{"alg":"none"}`, `{"iss":"invoscope","exp":1e400,"tenants":"*","scope":[1],"\u009b":"\u202e"}`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		for _, token := range []string{header, jwtOf(header, claims), parts[0] + "." + claims + "." + parts[2]} {
			found, err := inspectJWT(s, known, token, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			if found.State == stateValid && token != good {
				t.Fatalf("%q is said to be valid", token)
			}
			var text bytes.Buffer
			if err := found.write(&text, time.Now()); err != nil {
				t.Fatal(err)
			}
			if err := json.NewEncoder(timeline.JSONWriter(&text)).Encode(found); err != nil {
				t.Fatal(err)
			}
			if strings.ContainsFunc(text.String(), harmful) {
				t.Fatalf("%q prints %q", token, text.String())
			}
		}
	})
}
