package tenancy

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestIssueOnTheWire(t *testing.T) {
	key, c := openTestKey(t), newClock()
	token := issue(t, key, c.now, Grant{Tenant: "acme", Subject: "ci", Scopes: []Scope{LogsRead, TracesRead}, Life: time.Hour})
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts, want 3", len(parts))
	}
	header, payload := decodeJSON(t, parts[0]), decodeJSON(t, parts[1])
	if diff := cmp.Diff(map[string]any{"alg": "EdDSA", "typ": "JWT", "kid": key.id}, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	jti, _ := payload["jti"].(string)
	delete(payload, "jti")
	now := float64(c.now().Unix())
	want := map[string]any{
		"iss": "invoscope", "aud": []any{"invoscope"}, "sub": "ci",
		"tenant": "acme", "scope": "logs:read traces:read",
		"iat": now, "nbf": now, "exp": now + 3600,
	}
	if diff := cmp.Diff(want, payload); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	again := issue(t, key, c.now, Grant{Tenant: "acme"})
	if other := decodeJSON(t, strings.Split(again, ".")[1])["jti"]; jti == "" || other == jti {
		t.Errorf("token ids %q and %q, want two different ones", jti, other)
	}
}

func TestIssueRefuses(t *testing.T) {
	issuer := NewSigner(openTestKey(t), newClock().now)
	valid := Grant{Tenant: "acme", Scopes: []Scope{LogsRead}, Life: time.Hour}
	tests := map[string]struct {
		change func(*Grant)
		want   string
	}{
		"no scope":      {func(g *Grant) { g.Scopes = nil }, "at least one scope"},
		"unknown scope": {func(g *Grant) { g.Scopes = []Scope{"logs:raed"} }, "logs:read"},
		"two in one":    {func(g *Grant) { g.Scopes = []Scope{"logs:read admin"} }, "unknown scope"},
		"no life":       {func(g *Grant) { g.Life = 0 }, "too short"},
		"negative life": {func(g *Grant) { g.Life = -time.Hour }, "too short"},
		"long subject":  {func(g *Grant) { g.Subject = strings.Repeat("x", 257) }, "subject"},
		"65 tenants":    {func(g *Grant) { g.Tenants = slices.Repeat([]string{"a"}, 65) }, "too many"},
		"all and one":   {func(g *Grant) { g.Tenants = []string{"*", "a"} }, "not valid"},
		"all in tenant": {func(g *Grant) { g.Tenant = "*" }, "not valid"},
		"no tenant":     {func(g *Grant) { g.Tenant = "" }, "empty"},
		"writes to none": {func(g *Grant) {
			*g = Grant{Tenants: []string{"a"}, Scopes: []Scope{TracesRead, TracesWrite}, Life: time.Hour}
		}, "writes"},
		"bad second tenant": {func(g *Grant) { g.Tenants = []string{"a", "b|c"} }, "not valid"},
		"subject with line": {func(g *Grant) { g.Subject = "a\nb" }, "subject"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := valid
			tt.change(&g)
			if issued, err := issuer.Issue(g); err == nil || issued.Token != "" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Issue = %q, %v; want an error with %q", issued.Token, err, tt.want)
			}
		})
	}
	for name, tenant := range badTenants() {
		g := valid
		g.Tenant = tenant
		if _, err := issuer.Issue(g); err == nil {
			t.Errorf("issued a token for tenant %q (%s)", tenant, name)
		}
	}
}

func decodeJSON(t *testing.T, segment string) map[string]any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
