package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The secrets of these tests, none of which may be seen.
const (
	jwtSecret    = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJ0ZW5hbnQiOiJhY21lIn0.c2lnbmF0dXJl-_x"
	opaqueSecret = "Zm9vYmFyYmF6UVVYcXV1eA9"
	basicSecret  = "dXNlcjpodW50ZXIy"
	password     = "hunter2"
)

func TestString(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"nothing":              {"", ""},
		"a sentence":           {"a bearer token is needed, basic authentication too", "a bearer token is needed, basic authentication too"},
		"an error":             {"credential refused: malformed: parse the token: no dots in it", "credential refused: malformed: parse the token: no dots in it"},
		"a JWT":                {"the token " + jwtSecret + " is bad", "the token <secret> is bad"},
		"a JWT, unsigned":      {jwtSecret[:60] + ".", "<secret>"},
		"a JWT, cut off":       {jwtSecret[:50], "<secret>"},
		"two JWTs":             {jwtSecret + "," + jwtSecret, "<secret>,<secret>"},
		"JSON in base64":       {"eyJ0ZW5hbnQiOiJhY21lIn0", "eyJ0ZW5hbnQiOiJhY21lIn0"},
		"an API token":         {"inv_tok_7Hk2_" + opaqueSecret + ".", "inv_tok_7Hk2_<secret>."},
		"half an API token":    {"inv_tok_" + opaqueSecret, "inv_tok_<secret>"},
		"Bearer":               {"got Bearer " + opaqueSecret, "got Bearer <secret>"},
		"bearer, encoded":      {"x?h=bearer%20" + opaqueSecret, "x?h=bearer%20<secret>"},
		"Basic":                {"got BASIC  " + basicSecret + "==", "got BASIC  <secret>"},
		"a challenge":          {`Bearer realm="invoscope"`, `Bearer realm="invoscope"`},
		"a header":             {"Authorization: Digest username=x, response=" + password, "Authorization: <secret>"},
		"a header, lower":      {"authorization:" + password + "\nHost: x", "authorization:<secret>\nHost: x"},
		"a proxy's header":     {`Proxy-Authorization: ` + password + `" b`, `Proxy-Authorization: <secret>" b`},
		"a cookie":             {"Set-Cookie: a=" + password + "; b", "Set-Cookie: <secret>"},
		"a map of Go":          {"map[Authorization:[Bearer abc] Host:[x]]", "map[Authorization:[<secret>] Host:[x]]"},
		"a struct of Go":       {"{User:me Password:hunter2 Host:x}", "{User:me Password:<secret> Host:x}"},
		"JSON":                 {`{"token":"abc","n":1}`, `{"token":"<secret>","n":1}`},
		"JSON, spaced":         {`{"client_secret" : "a b", "n": 1}`, `{"client_secret" : "a b", "n": 1}`},
		"JSON, a space":        {`{"client_secret": "a b", "n": 1}`, `{"client_secret": "<secret>", "n": 1}`},
		"JSON in JSON":         {`{"msg":"{\"password\":\"a\",\"n\":1}"}`, `{"msg":"{\"password\":\"<secret>\",\"n\":1}"}`},
		"JSON, a list":         {`"Authorization":["a","b"]`, `"Authorization":["<secret>","b"]`},
		"a quote within":       {`password="a\"b" x=1`, `password="<secret>" x=1`},
		"YAML":                 {"secret_access_key: abc123def\nx: 1", "secret_access_key: <secret>\nx: 1"},
		"logfmt":               {"api-key=abc level=info", "api-key=<secret> level=info"},
		"a query":              {"/x?access_token=abc&n=1", "/x?access_token=<secret>&n=1"},
		"a file's name":        {"token_file=/run/token key=a", "token_file=/run/token key=a"},
		"a URL":                {"redis://u:" + password + "@h:6379/0", "redis://u:<secret>@h:6379/0"},
		"a URL, no user":       {"rediss://:" + password + "@h", "rediss://:<secret>@h"},
		"a URL, a user alone":  {"https://" + opaqueSecret + "@github.com/x", "https://<secret>@github.com/x"},
		"a URL, an at sign":    {"redis://u:hunt@er2@h/0", "redis://u:<secret>@h/0"},
		"a URL, a slash":       {`parse "redis://u:hun/ter2@h": bad`, `parse "redis://u:<secret>@h": bad`},
		"a URL, without":       {"http://127.0.0.1:3100/loki?mail=a@b", "http://127.0.0.1:3100/loki?mail=a@b"},
		"a private key":        {"-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\nx", "-----BEGIN PRIVATE KEY-----<secret>-----END PRIVATE KEY-----\nx"},
		"a private key, cut":   {`"-----BEGIN EC PRIVATE KEY-----\nMC4C`, `"-----BEGIN EC PRIVATE KEY-----<secret>`},
		"a certificate":        {"-----BEGIN CERTIFICATE-----\nMC4C", "-----BEGIN CERTIFICATE-----\nMC4C"},
		"ends in a separator":  {"authorization:", "authorization:"},
		"ends in a quote":      {`"token":"`, `"token":"`},
		"ends in a scheme":     {"Bearer ", "Bearer "},
		"ends in a URL":        {"http://", "http://"},
		"ends in a PEM header": {"-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := String(tt.in); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestWriterOnLogs looks at what slog's handlers make of a secret, wherever it stands.
func TestWriterOnLogs(t *testing.T) {
	header := http.Header{"Authorization": {"Bearer " + jwtSecret}, "Cookie": {"s=" + opaqueSecret}}
	address := &url.URL{Scheme: "redis", User: url.UserPassword("u", password), Host: "h"}
	places := map[string]func(*slog.Logger){
		"message":       func(l *slog.Logger) { l.Info("got " + jwtSecret) },
		"attribute":     func(l *slog.Logger) { l.Info("m", "a", "Bearer "+opaqueSecret) },
		"name":          func(l *slog.Logger) { l.Info("m", "password", password) },
		"error":         func(l *slog.Logger) { l.Error("m", "err", fmt.Errorf("a: %w", errors.New("b "+jwtSecret))) },
		"group":         func(l *slog.Logger) { l.WithGroup("g").Info("m", slog.Group("h", "token", opaqueSecret)) },
		"With":          func(l *slog.Logger) { l.With("h", "Basic "+basicSecret).Info("m") },
		"header":        func(l *slog.Logger) { l.Info("m", "header", header) },
		"URL":           func(l *slog.Logger) { l.Info("m", "url", address.String()) },
		"struct":        func(l *slog.Logger) { l.Info("m", "v", struct{ Password string }{password}) },
		"quoted":        func(l *slog.Logger) { l.Info("m", "v", fmt.Sprintf("%q", `"token":"`+opaqueSecret+`"`)) },
		"engine's line": func(l *slog.Logger) { l.Warn(`level=info msg="req" authorization="Bearer ` + jwtSecret + `"`) },
		"print logger":  func(l *slog.Logger) { slog.NewLogLogger(l.Handler(), slog.LevelInfo).Print("got " + jwtSecret) },
	}
	for name, log := range places {
		for format, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(Writer(b), nil) },
			"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(Writer(b), nil) },
		} {
			t.Run(name+"/"+format, func(t *testing.T) {
				var out bytes.Buffer
				log(slog.New(handler(&out)))
				for _, secret := range []string{jwtSecret[40:60], opaqueSecret, basicSecret, password} {
					if strings.Contains(out.String(), secret) {
						t.Errorf("%q shows in %s", secret, &out)
					}
				}
				if !strings.Contains(out.String(), mask) {
					t.Errorf("nothing was taken out of %s", &out)
				}
				if format == "json" && !json.Valid(out.Bytes()) {
					t.Errorf("it isn't JSON any more: %s", &out)
				}
			})
		}
	}
}

// short takes less than it is given.
type short struct{}

func (short) Write(p []byte) (int, error) { return len(p) / 2, errors.New("full") }

func TestWriterCounts(t *testing.T) {
	var out bytes.Buffer
	p := []byte("Bearer " + opaqueSecret + "\n")
	if n, err := Writer(&out).Write(p); n != len(p) || err != nil || out.String() != "Bearer <secret>\n" {
		t.Errorf("%d of %d, %v, %q", n, len(p), err, &out)
	}
	if n, err := Writer(short{}).Write(p); n >= len(p) || err == nil {
		t.Errorf("a short write: %d of %d, %v", n, len(p), err)
	}
	if n, err := Writer(&out).Write(nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
}

// FuzzString puts secrets between strange texts.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", " ", `"`, "token=", "http://a:", "Authorization: ", "-----BEGIN PRIVATE KEY-----", "eyJ", `\"`, "inv_tok_", "ey"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		clean := String(before + after)
		if again := String(clean); again != clean {
			t.Errorf("twice: %q, then %q", clean, again)
		}
		for form, secret := range map[string]string{
			" " + jwtSecret:                      jwtSecret,
			" inv_tok_a_" + opaqueSecret:         opaqueSecret,
			" Bearer " + opaqueSecret:            opaqueSecret,
			` "password":"` + opaqueSecret:       opaqueSecret,
			" redis://u:" + opaqueSecret + "@h ": opaqueSecret,
		} {
			if got := String(before + form + " " + after); strings.Contains(got, secret) && !strings.Contains(before+after, secret) {
				t.Errorf("%q shows in %q", form, got)
			}
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	var out bytes.Buffer
	plain := `time=2026-01-02T03:04:05.678Z level=INFO msg="request refused" route=/loki/api/v1/query_range tenant=acme caller=engine.go:263 err="ask loki: the engine is not available: dial unix /data/loki.sock: connect: no such file or directory"` + "\n"
	for name, text := range map[string]string{"clean": plain, "secret": "Bearer " + jwtSecret + " " + plain} {
		b.Run(name, func(b *testing.B) {
			line := []byte(text)
			w := Writer(&out)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				_, _ = w.Write(line)
			}
		})
	}
}

// BenchmarkHostile are lines that take the scanner longest.
func BenchmarkHostile(b *testing.B) {
	for _, text := range []string{"eyJ", "http://", "Bearer ", "token: ", "-----BEGIN ", "inv_tok_", `"token`} {
		b.Run(text, func(b *testing.B) {
			line := strings.Repeat(text, 64<<10/len(text))
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				_ = String(line)
			}
		})
	}
}
