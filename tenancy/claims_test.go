package tenancy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func manyTenants(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("t%d", i)
	}
	return names
}

func TestClaims(t *testing.T) {
	standard := ClaimNames{Tenant: "tenant", Tenants: "tenants", Scope: "scope", Roles: "roles"}
	read := []Scope{LogsRead}
	tests := map[string]struct {
		names  ClaimNames
		fixed  string
		claims string
		want   Identity
		reason Reason
	}{
		"tenant":                 {standard, "", `{"tenant":"acme"}`, Identity{Tenant: "acme"}, ""},
		"none":                   {standard, "", `{}`, Identity{}, BadTenant},
		"null":                   {standard, "", `{"tenant":null,"tenants":null}`, Identity{}, BadTenant},
		"no tenants":             {standard, "", `{"tenants":[]}`, Identity{}, BadTenant},
		"one, and no others":     {standard, "", `{"tenant":"acme","tenants":[]}`, Identity{Tenant: "acme"}, ""},
		"several":                {standard, "", `{"tenants":["a","b"]}`, Identity{Reads: []string{"a", "b"}}, ""},
		"several, one twice":     {standard, "", `{"tenants":["a","b","a"]}`, Identity{Reads: []string{"a", "b"}}, ""},
		"several of one":         {standard, "", `{"tenants":["a"]}`, Identity{Reads: []string{"a"}}, ""},
		"one and several":        {standard, "", `{"tenant":"acme","tenants":["a","b"]}`, Identity{Tenant: "acme", Reads: []string{"acme", "a", "b"}}, ""},
		"one among several":      {standard, "", `{"tenant":"b","tenants":["a","b"]}`, Identity{Tenant: "b", Reads: []string{"a", "b"}}, ""},
		"one and the same":       {standard, "", `{"tenant":"a","tenants":["a"]}`, Identity{Tenant: "a"}, ""},
		"names differ by case":   {standard, "", `{"tenant":"a","tenants":["A"]}`, Identity{Tenant: "a", Reads: []string{"a", "A"}}, ""},
		"all":                    {standard, "", `{"tenants":"*"}`, Identity{ReadsAll: true}, ""},
		"all in an array":        {standard, "", `{"tenants":["*"]}`, Identity{ReadsAll: true}, ""},
		"one and all":            {standard, "", `{"tenant":"acme","tenants":["*"]}`, Identity{Tenant: "acme", ReadsAll: true}, ""},
		"all as the tenant":      {standard, "", `{"tenant":"*"}`, Identity{}, BadTenant},
		"64":                     {standard, "", `{"tenants":["` + strings.Join(manyTenants(64), `","`) + `"]}`, Identity{Reads: manyTenants(64)}, ""},
		"64 and one":             {standard, "", `{"tenant":"acme","tenants":["` + strings.Join(manyTenants(64), `","`) + `"]}`, Identity{Tenant: "acme", Reads: append([]string{"acme"}, manyTenants(64)...)}, ""},
		"65":                     {standard, "", `{"tenants":["` + strings.Join(manyTenants(65), `","`) + `"]}`, Identity{}, BadTenant},
		"empty among several":    {standard, "", `{"tenants":["a",""]}`, Identity{}, BadTenant},
		"an array among several": {standard, "", `{"tenants":["a",["b"]]}`, Identity{}, BadTenant},
		"object":                 {standard, "", `{"tenants":{"a":true}}`, Identity{}, BadTenant},

		"fixed":                   {standard, "acme", `{}`, Identity{Tenant: "acme"}, ""},
		"fixed and named":         {standard, "acme", `{"tenant":"acme","tenants":["acme"]}`, Identity{Tenant: "acme"}, ""},
		"fixed and another":       {standard, "acme", `{"tenant":"victim"}`, Identity{}, BadTenant},
		"fixed and another case":  {standard, "acme", `{"tenant":"ACME"}`, Identity{}, BadTenant},
		"fixed and empty":         {standard, "acme", `{"tenant":""}`, Identity{}, BadTenant},
		"fixed and several":       {standard, "acme", `{"tenants":["acme","victim"]}`, Identity{}, BadTenant},
		"fixed and all":           {standard, "acme", `{"tenants":"*"}`, Identity{}, BadTenant},
		"fixed and not looked at": {ClaimNames{Scope: "scope"}, "acme", `{"tenant":"x","tenants":"*"}`, Identity{Tenant: "acme"}, ""},

		"scope":                 {standard, "a", `{"scope":"logs:read"}`, Identity{Tenant: "a", Scopes: read}, ""},
		"scope, odd blanks":     {standard, "a", `{"scope":"  future:scope logs:read\tlogs:read LOGS:WRITE "}`, Identity{Tenant: "a", Scopes: read}, ""},
		"scope an array":        {standard, "a", `{"scope":["logs:read","x","logs:write logs:read"]}`, Identity{Tenant: "a", Scopes: read}, ""},
		"scope null":            {standard, "a", `{"scope":null}`, Identity{Tenant: "a"}, ""},
		"scope a number":        {standard, "a", `{"scope":1}`, Identity{}, Malformed},
		"scope of numbers":      {standard, "a", `{"scope":["logs:read",1]}`, Identity{}, Malformed},
		"scope all":             {standard, "a", `{"scope":"*"}`, Identity{Tenant: "a"}, ""},
		"roles":                 {standard, "a", `{"roles":["viewer","nobody"]}`, Identity{Tenant: "a", Scopes: []Scope{LogsRead, TracesRead}}, ""},
		"roles as words":        {standard, "a", `{"roles":"viewer sender"}`, Identity{Tenant: "a", Scopes: []Scope{LogsRead, TracesRead, LogsWrite}}, ""},
		"scope and roles":       {standard, "a", `{"scope":"admin logs:read","roles":["viewer"]}`, Identity{Tenant: "a", Scopes: []Scope{Admin, LogsRead, TracesRead}}, ""},
		"role in another case":  {standard, "a", `{"roles":["Viewer"]}`, Identity{Tenant: "a"}, ""},
		"role named as a scope": {standard, "a", `{"roles":["admin"]}`, Identity{Tenant: "a"}, ""},
		"role of a bad scope":   {standard, "a", `{"roles":["broken"]}`, Identity{Tenant: "a"}, ""},
		"writes to nobody":      {standard, "", `{"tenants":["a","b"],"scope":"logs:write traces:write logs:read"}`, Identity{Reads: []string{"a", "b"}, Scopes: read}, ""},
		"writes to one":         {standard, "", `{"tenant":"a","tenants":["b"],"scope":"logs:write"}`, Identity{Tenant: "a", Reads: []string{"a", "b"}, Scopes: []Scope{LogsWrite}}, ""},

		"Keycloak": {
			ClaimNames{Tenant: "/organization/0", Roles: "/realm_access/roles"}, "",
			`{"organization":["acme"],"realm_access":{"roles":["offline_access","viewer"]},"scope":"openid admin"}`,
			Identity{Tenant: "acme", Scopes: []Scope{LogsRead, TracesRead}}, "",
		},
		"Auth0": {
			ClaimNames{Tenant: "https://acme.example/tenant", Scope: "permissions"}, "",
			`{"https://acme.example/tenant":"acme","permissions":["logs:read"]}`, Identity{Tenant: "acme", Scopes: read}, "",
		},
		"pointer, escapes":     {ClaimNames{Tenant: "/a~1b/c~0d/~01"}, "", `{"a/b":{"c~d":{"~1":"acme"}}}`, Identity{Tenant: "acme"}, ""},
		"pointer, empty name":  {ClaimNames{Tenant: "/"}, "", `{"":"acme"}`, Identity{Tenant: "acme"}, ""},
		"pointer past the end": {ClaimNames{Tenant: "/a/1"}, "", `{"a":["acme"]}`, Identity{}, BadTenant},
		"pointer, leading 0":   {ClaimNames{Tenant: "/a/00"}, "", `{"a":["acme"]}`, Identity{}, BadTenant},
		"pointer, sign":        {ClaimNames{Tenant: "/a/+0"}, "", `{"a":["acme"]}`, Identity{}, BadTenant},
		"pointer, dash":        {ClaimNames{Tenant: "/a/-"}, "", `{"a":["acme"]}`, Identity{}, BadTenant},
		"pointer into text":    {ClaimNames{Tenant: "/a/0"}, "", `{"a":"acme"}`, Identity{}, BadTenant},
		"twice on the way":     {ClaimNames{Tenant: "/a/b"}, "", `{"a":{"b":"acme"},"a":{"b":"victim"}}`, Identity{}, BadTenant},
		"twice at the end":     {ClaimNames{Tenant: "/a/b"}, "", `{"a":{"b":"acme","b":"victim"}}`, Identity{}, BadTenant},
		"twice, escaped":       {standard, "", `{"tenant":"acme","\u0074enant":"victim"}`, Identity{}, BadTenant},
		"twice, second null":   {standard, "", `{"tenant":"acme","tenant":null}`, Identity{}, BadTenant},
		"twice elsewhere":      {standard, "", `{"tenant":"acme","x":1,"x":2}`, Identity{Tenant: "acme"}, ""},
		"scope twice":          {standard, "a", `{"scope":"logs:read","scope":"admin"}`, Identity{}, Malformed},
		"roles twice":          {standard, "a", `{"roles":[],"roles":["viewer"]}`, Identity{}, Malformed},
		"another case":         {standard, "", `{"Tenant":"acme"}`, Identity{}, BadTenant},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got Identity
			err := newMapping(tt.names, testRoles()).read(rawJSON(tt.claims), tt.fixed, &got)
			wantReason(t, err, tt.reason)
			if err == nil {
				sameIdentity(t, tt.want, got)
			}
		})
	}
	for what, name := range badTenants() {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, claims := range []string{`{"tenant":` + string(quoted) + `}`, `{"tenants":[` + string(quoted) + `]}`, `{"tenant":"a","tenants":["a",` + string(quoted) + `]}`} {
			if err := newMapping(standard, nil).read(rawJSON(claims), "", &Identity{}); ReasonOf(err) != BadTenant {
				t.Errorf("%s in %.100s: %v", what, claims, err)
			}
		}
	}
}

func testRoles() map[string][]Scope {
	return map[string][]Scope{
		"viewer": {LogsRead, TracesRead}, "sender": {LogsWrite}, "broken": {"logs:everything"},
	}
}

func TestParsePointer(t *testing.T) {
	for name, want := range map[string][]string{
		"": nil, "a": {"a"}, "a/b": {"a/b"}, "a~b": {"a~b"}, "https://x/y": {"https://x/y"},
		"/": {""}, "//": {"", ""}, "/a/b": {"a", "b"}, "/~0~1": {"~/"}, "/~01": {"~1"}, "/a b": {"a b"},
	} {
		got, err := parsePointer(name)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for _, name := range []string{"/~", "/a~", "/~2", "/a/~~0"} {
		if steps, err := parsePointer(name); err == nil {
			t.Errorf("%q: %q", name, steps)
		}
	}
}

// FuzzClaims looks for claims that give what the engines must never hear of, and for
// those that give more than a fixed tenant.
func FuzzClaims(f *testing.F) {
	for _, claims := range []string{
		`{"tenant":"acme","scope":"logs:read logs:write"}`, `{"tenants":["a","b"],"scope":["traces:write"]}`, `{"tenants":"*"}`,
		`{"tenant":"a|b"}`, `{"tenant":"a:b"}`, `{"tenant":".."}`, `{"tenant":""}`, `{"tenant":"a","tenant":"b"}`,
		`{"tenants":["a",null]}`, `{"tenants":["*","a"]}`, `{"roles":["viewer","sender"],"tenant":"a"}`, `{"a":{"b":[{"c~/":"a"}]}}`,
		`{"\u0074enant":"a"}`, `{"tenant":"\ud800"}`, `{"scope":{}}`, `[]`, `{"tenants":[["a"]]}`,
	} {
		f.Add(claims, "tenant", "tenants", "")
		f.Add(claims, "/a/b/0/c~0~1", "/tenants", "acme")
	}
	f.Fuzz(func(t *testing.T, claims, tenant, tenants, fixed string) {
		object, ok := parseJSON([]byte(claims))
		if !ok || !object.object() {
			return
		}
		m := newMapping(ClaimNames{Tenant: tenant, Tenants: tenants, Scope: "scope", Roles: "roles"}, testRoles())
		var id Identity
		if err := m.read(object, fixed, &id); err != nil {
			if ReasonOf(err) == "" {
				t.Fatalf("an error without a reason: %v", err)
			}
			return
		}
		if err := id.valid(); err != nil {
			t.Fatalf("%+v: %v", id, err)
		}
		if id.Tenant == "" && slices.ContainsFunc(id.Scopes, Scope.Writes) || id.ReadsAll && id.Reads != nil {
			t.Fatalf("%+v", id)
		}
		for _, s := range id.Scopes {
			if _, err := ParseScope(string(s)); err != nil {
				t.Fatal(err)
			}
		}
		if fixed != "" && (id.Tenant != fixed || id.ReadsAll || id.Reads != nil) {
			t.Fatalf("%+v of the fixed tenant %q", id, fixed)
		}
	})
}
