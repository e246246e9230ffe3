package tenancy

import (
	"encoding/base64"
	"strings"
	"testing"
)

func basic(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }

func TestTokenFromAuthorization(t *testing.T) {
	tests := map[string]struct {
		values []string
		token  string
		want   Reason
	}{
		"bearer":                      {[]string{"Bearer a.b.c"}, "a.b.c", ""},
		"bearer, lower case":          {[]string{"bearer a.b.c"}, "a.b.c", ""},
		"bearer, upper case":          {[]string{"BEARER a.b.c"}, "a.b.c", ""},
		"bearer, blanks":              {[]string{"  Bearer   a.b.c\t"}, "a.b.c", ""},
		"basic":                       {[]string{basic("user:a.b.c")}, "a.b.c", ""},
		"basic, no user":              {[]string{basic(":a.b.c")}, "a.b.c", ""},
		"basic, lower case":           {[]string{"basic " + basic("u:a.b.c")[6:]}, "a.b.c", ""},
		"none":                        {nil, "", Missing},
		"empty":                       {[]string{""}, "", Missing},
		"blank":                       {[]string{"  "}, "", Missing},
		"bearer alone":                {[]string{"Bearer"}, "", Missing},
		"bearer and a blank":          {[]string{"Bearer "}, "", Missing},
		"basic, no password":          {[]string{basic("user:")}, "", Missing},
		"duplicate Authorization":     {[]string{"Bearer a.b.c", "Bearer a.b.c"}, "", Malformed},
		"conflicting Authorization":   {[]string{"Bearer a.b.c", "Bearer d.e.f"}, "", Malformed},
		"conflicting schemes":         {[]string{"Bearer a.b.c", basic("user:d.e.f")}, "", Malformed},
		"conflicting, last empty":     {[]string{"Bearer a.b.c", ""}, "", Malformed},
		"duplicate, first empty":      {[]string{"", "Bearer a.b.c"}, "", Malformed},
		"joined with a comma":         {[]string{"Bearer a.b.c, Bearer d.e.f"}, "", Malformed},
		"joined without blanks":       {[]string{"Bearer a.b.c,d.e.f"}, "", Malformed},
		"token alone":                 {[]string{"a.b.c"}, "", Malformed},
		"another scheme":              {[]string{"Digest a.b.c"}, "", Malformed},
		"bearer glued":                {[]string{"Bearera.b.c"}, "", Malformed},
		"bearer twice":                {[]string{"Bearer Bearer a.b.c"}, "", Malformed},
		"quoted":                      {[]string{`Bearer "a.b.c"`}, "", Malformed},
		"control character":           {[]string{"Bearer a.b\x00.c"}, "", Malformed},
		"header break":                {[]string{"Bearer a.b.c\r\nX-Scope-OrgID: b"}, "", Malformed},
		"not ASCII":                   {[]string{"Bearer ä"}, "", Malformed},
		"basic, not base64":           {[]string{"Basic a.b.c"}, "", Malformed},
		"basic, no colon":             {[]string{basic("a.b.c")}, "", Malformed},
		"basic, colon in the token":   {[]string{basic("user:a:b")}, "a:b", ""},
		"1 MB":                        {[]string{"Bearer " + strings.Repeat("a", 1<<20)}, "", Malformed},
		"1 MB of base64":              {[]string{basic("u:" + strings.Repeat("a", 1<<20))}, "", Malformed},
		"longest token through basic": {[]string{basic("user:" + strings.Repeat("a", maxToken))}, strings.Repeat("a", maxToken), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			token, err := TokenFromAuthorization(tt.values)
			if token != tt.token || (err == nil) != (tt.want == "") {
				t.Fatalf("= %.80q, %v; want %.80q, reason %q", token, err, tt.token, tt.want)
			}
			wantReason(t, err, tt.want)
		})
	}
}

func TestUnverifiedTenant(t *testing.T) {
	key, c := openTestKey(t), newClock()
	if got := UnverifiedTenant(issue(t, key, c.now, Grant{Tenant: "acme"})); got != "acme" {
		t.Errorf("= %q, want acme", got)
	}
	for _, token := range []string{"", "opaque", "a.b.c", strings.Repeat("a", 1<<20), signed(t, key, c.now, func(c *claims) { c.Tenant = "a|b" })} {
		if got := UnverifiedTenant(token); got != "" {
			t.Errorf("%.40q gives %q, want nothing", token, got)
		}
	}
}

func FuzzTokenFromAuthorization(f *testing.F) {
	for _, v := range []string{"", "Bearer a.b.c", "bearer  x", basic("u:p"), basic(":"), "Basic ====", "Bearer a, Bearer b"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, err := TokenFromAuthorization([]string{value})
		if (err == nil) != (token != "") {
			t.Fatalf("token %q with error %v", token, err)
		}
		if err != nil && ReasonOf(err) == "" {
			t.Fatalf("an error without a reason: %v", err)
		}
		if strings.ContainsAny(token, " \t\r\n,\x00") {
			t.Fatalf("%q is not one token", token)
		}
		if _, err := TokenFromAuthorization([]string{value, value}); err == nil {
			t.Fatal("accepted two values")
		}
	})
}

func BenchmarkTokenFromAuthorization(b *testing.B) {
	values := []string{"Bearer " + strings.Repeat("a", 500)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := TokenFromAuthorization(values); err != nil {
			b.Fatal(err)
		}
	}
}
