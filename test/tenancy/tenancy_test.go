//go:build integration

package tenancy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/invoscope/invoscope/test/harness"
)

const all = `{kubernetes_container_name="restate"}`

func has(text string) func(answer) bool {
	return func(a answer) bool { return a.status == http.StatusOK && strings.Contains(a.body, text) }
}

func answers(want int) func(answer) bool { return func(a answer) bool { return a.status == want } }

// TestOperator does what an operator does, on one daemon, in order.
func TestOperator(t *testing.T) {
	s := newSite(t)
	acme := s.issue("acme-dev", "--tenant", "acme", "--scope", "logs:read,logs:write")
	globex := s.issue("globex-dev", "--tenant", "globex", "--scope", "logs:read,logs:write", "--opaque")
	both := s.issue("operator", "--tenants", "acme,globex", "--scope", "logs:read")
	every := s.issue("auditor", "--tenants", "*", "--scope", "logs:read")
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"ship and logcli over TLS", func(t *testing.T) {
			s.await("a token that the daemon has to learn of", func() answer { return s.ask(s.client(), "", s.tokens["globex-dev"], all) }, answers(http.StatusOK))
			s.push(acme, "line of acme")
			s.push(globex, "line of globex")
			for client, want := range map[harness.Client]string{acme: "line of acme", globex: "line of globex"} {
				harness.Poll(t, limit, want, func() error {
					lines, err := client.LogLines(t, all)
					if err == nil && !slices.Equal(lines, []string{want}) {
						err = fmt.Errorf("%q", lines)
					}
					return err
				})
			}
			if _, err := (harness.Client{URL: s.HTTP, TokenFile: acme.TokenFile}).LogLines(t, all); err == nil {
				t.Error("logcli believes a certificate of nobody it knows")
			}
			s.command("invocation", "list") // by the daemon's own token and certificate
		}},
		{"OTLP over TLS", func(t *testing.T) { otlp(t, s) }},
		{"several tenants are read together", func(t *testing.T) {
			for _, c := range []harness.Client{both, every} {
				lines, err := c.LogLines(t, all)
				if slices.Sort(lines); err != nil || !slices.Equal(lines, []string{"line of acme", "line of globex"}) {
					t.Errorf("%q, %v", lines, err)
				}
			}
		}},
		{"hosts", func(t *testing.T) {
			c, token := s.client(), s.tokens
			for _, one := range []struct {
				host, subject string
				ok            func(answer) bool
			}{
				{"acme.dev.example.com", "acme-dev", has("line of acme")},
				{"globex.dev.example.com", "globex-dev", has("line of globex")},
				{"globex.dev.example.com", "acme-dev", answers(http.StatusForbidden)},
				{"acme.dev.example.com", "globex-dev", answers(http.StatusForbidden)},
				{"acme.dev.example.com", "operator", func(a answer) bool { return has("line of acme")(a) && !has("line of globex")(a) }},
				{"initech.dev.example.com", "operator", answers(http.StatusForbidden)},
			} {
				if a := s.ask(c, one.host, token[one.subject], all); !one.ok(a) {
					t.Errorf("%s at %s: %d %.300s", one.subject, one.host, a.status, a.body)
				}
			}
		}},
		{"a client certificate", func(t *testing.T) {
			pair := func(name string) tls.Certificate {
				cert, key := s.ca.Issue(t, name)
				s.put(name+".crt", cert)
				s.put(name+".key", key)
				both, err := tls.X509KeyPair([]byte(cert), []byte(key))
				if err != nil {
					t.Fatal(err)
				}
				return both
			}
			if a := s.ask(s.client(pair("shipper")), "", "", all); !has("line of acme")(a) {
				t.Errorf("%d %s", a.status, a.body)
			}
			if a := s.ask(s.client(pair("stranger")), "", "", all); a.status != http.StatusUnauthorized {
				t.Errorf("of another subject: %d %s", a.status, a.body)
			}
			cmd := harness.Client{URL: s.HTTP, TokenFile: os.DevNull, CAFile: acme.CAFile}.Ship(t)
			cmd.Args = slices.DeleteFunc(cmd.Args, func(arg string) bool { return arg == "--token-file" || arg == os.DevNull })
			cmd.Args = append(cmd.Args, "--cert-file", s.path("shipper.crt"), "--key-file", s.path("shipper.key"))
			cmd.Stdin = strings.NewReader("line by certificate\n")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			s.await("the line of the certificate's tenant", func() answer { return s.ask(s.client(), "", s.tokens["acme-dev"], all) }, has("line by certificate"))
		}},
		{"the key is rotated", func(t *testing.T) {
			s.command("key", "rotate")
			late := s.issue("late", "--tenant", "acme", "--scope", "logs:read")
			for _, c := range []harness.Client{late, acme} {
				harness.Poll(t, limit, "tokens of both keys", func() error {
					_, err := c.LogLines(t, all)
					return err
				})
			}
		}},
		{"the certificate is replaced", func(t *testing.T) {
			before := s.ask(s.client(), "", s.tokens["acme-dev"], all).serial
			s.certify("second")
			s.await("another certificate", func() answer { return s.ask(s.client(), "", s.tokens["acme-dev"], all) },
				func(a answer) bool { return a.status == http.StatusOK && a.serial != before })
		}},
		{"limits", func(t *testing.T) { limits(t, s) }},
		{"a bad file", func(t *testing.T) { badFile(t, s) }},
		{"a tail of a token that is revoked", func(t *testing.T) { revoke(t, s) }},
		{"the audit log", func(t *testing.T) { audited(t, s) }},
	} {
		s.t = t
		if !t.Run(step.name, func(t *testing.T) { s.t = t; step.do(t) }) {
			break
		}
	}
}

func limits(t *testing.T, s *site) {
	c := s.client()
	s.put("tenants.yaml", "tenants: {acme: {queries_per_second: 1}}\n")
	limited := func(a answer) bool {
		return a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") != ""
	}
	s.await("the limit", func() answer {
		s.ask(c, "", s.tokens["acme-dev"], all)
		return s.ask(c, "", s.tokens["acme-dev"], all)
	}, limited)
	if a := s.ask(c, "", s.tokens["globex-dev"], all); a.status != http.StatusOK {
		t.Errorf("another tenant: %d %s", a.status, a.body)
	}
	s.put("tenants.yaml", "tenants: {}\n")
	s.await("no limit", func() answer {
		s.ask(c, "", s.tokens["acme-dev"], all)
		return s.ask(c, "", s.tokens["acme-dev"], all)
	}, answers(http.StatusOK))
}

// badFile breaks the configuration and has it read, by a signal too: what was in force
// stays.
func badFile(t *testing.T, s *site) {
	s.put("invoscope.yaml", "tenancy: {host_sufix: .example.com}\n")
	if err := syscall.Kill(s.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	health := func() answer {
		resp, err := http.Get(s.Admin + "/readyz?verbose")
		if err != nil {
			return answer{body: err.Error()}
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{status: resp.StatusCode, body: string(body)}
	}
	defer http.DefaultClient.CloseIdleConnections()
	s.await("the failed reload", health, has(`[-]reload failed`))
	if a := health(); !has(`invoscope.yaml:1:11: tenancy: unknown key "host_sufix" (did you mean "host_suffix"?)`)(a) {
		t.Error(a.body)
	}
	if a := s.ask(s.client(), "globex.dev.example.com", s.tokens["acme-dev"], all); a.status != http.StatusForbidden {
		t.Errorf("the hosts of before: %d", a.status)
	}
	s.put("invoscope.yaml", strings.ReplaceAll(settings, "DIR", s.dir))
	s.await("the good file", health, func(a answer) bool {
		return has("[+]reload ok")(a) && has("[+]loki ok")(a) && has("[+]tempo ok")(a) && has("[+]index ok")(a) && has("[+]queue logs ok")(a)
	})
}

func audited(t *testing.T, s *site) {
	lines, text := s.audited()
	for subject, token := range s.tokens {
		if strings.Contains(text, token) {
			t.Errorf("the token of %s is in the audit log", subject)
		}
	}
	for _, want := range []map[string]any{
		{"subject": "acme-dev", "tenant": "acme"},
		{"subject": "globex-dev", "tenant": "globex"},
	} {
		if !slices.ContainsFunc(lines, func(line map[string]any) bool {
			for key, value := range want {
				if line[key] != value {
					return false
				}
			}
			return true
		}) {
			t.Errorf("no line has %v; the first is %v", want, lines[0])
		}
	}
	for _, word := range []string{"wrong host", "revoked", "queries per second", "kubernetes_container_name"} {
		if !strings.Contains(text, word) {
			t.Errorf("%q isn't in the audit log:\n%.2000s", word, text)
		}
	}
}
