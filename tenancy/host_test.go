package tenancy

import (
	"strings"
	"testing"
	"time"
)

const testSuffix = ".dev.example.com"

func TestHosts(t *testing.T) {
	acme := Identity{Tenant: "acme", Scopes: []Scope{LogsRead, LogsWrite}}
	several := Identity{Tenant: "acme", Reads: []string{"acme", "Beta", "x_1"}, Scopes: []Scope{LogsRead, LogsWrite}}
	all := Identity{ReadsAll: true, Scopes: []Scope{LogsRead}}
	oneAndAll := Identity{Tenant: "Acme", ReadsAll: true, Scopes: []Scope{LogsRead, LogsWrite}}
	twins := Identity{Reads: []string{"twin", "Twin"}}
	reads := func(name string) Identity { return Identity{Reads: []string{name}, Scopes: []Scope{LogsRead}} }

	tests := map[string]struct {
		id         Identity
		host       string
		serverName string
		want       Identity
		reason     Reason
	}{
		"own":                     {acme, "acme.dev.example.com", "", acme, ""},
		"own, port":               {acme, "acme.dev.example.com:3100", "", acme, ""},
		"own, empty port":         {acme, "acme.dev.example.com:", "", acme, ""},
		"own, root":               {acme, "acme.dev.example.com.", "", acme, ""},
		"own, root and port":      {acme, "acme.dev.example.com.:3100", "", acme, ""},
		"own, capitals":           {acme, "ACME.Dev.EXAMPLE.com", "", acme, ""},
		"other's":                 {acme, "victim.dev.example.com", "", Identity{}, WrongHost},
		"two labels":              {acme, "x.acme.dev.example.com", "", Identity{}, WrongHost},
		"two labels, own second":  {acme, "acme.x.dev.example.com", "", Identity{}, WrongHost},
		"empty label":             {acme, ".dev.example.com", "", Identity{}, WrongHost},
		"empty label and own":     {acme, "acme..dev.example.com", "", Identity{}, WrongHost},
		"two roots":               {acme, "acme.dev.example.com..", "", Identity{}, WrongHost},
		"user":                    {acme, "user@acme.dev.example.com", "", Identity{}, WrongHost},
		"user and password":       {acme, "acme:x@acme.dev.example.com", "", Identity{}, WrongHost},
		"user, own first":         {acme, "acme.dev.example.com@victim.dev.example.com", "", Identity{}, WrongHost},
		"path":                    {acme, "evil/acme.dev.example.com", "", Identity{}, WrongHost},
		"blank":                   {acme, " acme.dev.example.com", "", Identity{}, WrongHost},
		"federation":              {acme, "acme|victim.dev.example.com", "", Identity{}, WrongHost},
		"port not a number":       {acme, "acme.dev.example.com:https", "", Identity{}, WrongHost},
		"two hosts":               {acme, "acme.dev.example.com,victim.dev.example.com", "", Identity{}, WrongHost},
		"NUL":                     {acme, "acme\x00.dev.example.com", "", Identity{}, WrongHost},
		"look-alike":              {acme, "аcme.dev.example.com", "", Identity{}, WrongHost},
		"in brackets":             {acme, "[acme].dev.example.com", "", Identity{}, WrongHost},
		"label of 65":             {acme, strings.Repeat("a", 65) + testSuffix, "", Identity{}, WrongHost},
		"very long":               {acme, strings.Repeat("a.", 30_000) + "dev.example.com", "", Identity{}, WrongHost},
		"none":                    {acme, "", "", acme, ""},
		"the suffix itself":       {acme, "dev.example.com", "", acme, ""},
		"elsewhere":               {acme, "localhost:3100", "", acme, ""},
		"elsewhere, IPv4":         {acme, "127.0.0.1:3100", "", acme, ""},
		"elsewhere, IPv6":         {acme, "[::1]:3100", "", acme, ""},
		"elsewhere, IPv6 no port": {acme, "[::1]", "", acme, ""},
		"elsewhere, suffix first": {acme, "victim.dev.example.com.evil.com", "", acme, ""},
		"elsewhere, no dot":       {acme, "victimdev.example.com", "", acme, ""},

		"several, own":            {several, "acme.dev.example.com", "", acme, ""},
		"several, another":        {several, "beta.dev.example.com", "", reads("Beta"), ""},
		"several, underscore":     {several, "x_1.dev.example.com", "", reads("x_1"), ""},
		"several, none of them":   {several, "y.dev.example.com", "", Identity{}, WrongHost},
		"several, elsewhere":      {several, "localhost", "", several, ""},
		"all":                     {all, "Acme.dev.example.com", "", reads("acme"), ""},
		"all, elsewhere":          {all, "localhost", "", all, ""},
		"one and all, own":        {oneAndAll, "acme.dev.example.com", "", Identity{Tenant: "Acme", Scopes: []Scope{LogsRead, LogsWrite}}, ""},
		"one and all, another":    {oneAndAll, "beta.dev.example.com", "", reads("beta"), ""},
		"differ by case alone":    {twins, "twin.dev.example.com", "", Identity{}, WrongHost},
		"differ by case, spelled": {twins, "Twin.dev.example.com", "", Identity{}, WrongHost},

		"SNI the same":           {acme, "acme.dev.example.com", "acme.dev.example.com", acme, ""},
		"SNI in capitals":        {acme, "acme.dev.example.com:443", "ACME.dev.example.com", acme, ""},
		"SNI of a proxy":         {acme, "acme.dev.example.com", "invoscope.internal", acme, ""},
		"SNI of another":         {acme, "acme.dev.example.com", "victim.dev.example.com", Identity{}, WrongHost},
		"SNI of another, may":    {several, "acme.dev.example.com", "beta.dev.example.com", Identity{}, WrongHost},
		"SNI and host elsewhere": {acme, "localhost", "acme.dev.example.com", Identity{}, WrongHost},
		"SNI and no host":        {acme, "", "acme.dev.example.com", Identity{}, WrongHost},
		"SNI of two labels":      {acme, "acme.dev.example.com", "a.acme.dev.example.com", Identity{}, WrongHost},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, suffix := range []string{testSuffix, strings.ToUpper(testSuffix)} {
				s := newSnapshot(Policy{HostSuffix: suffix}, time.Now)
				id := tt.id
				wantReason(t, s.bindToHost(&id, tt.host, tt.serverName), tt.reason)
				if tt.reason == "" {
					sameIdentity(t, tt.want, id)
				}
			}
			id := tt.id
			if err := newSnapshot(Policy{}, time.Now).bindToHost(&id, tt.host, tt.serverName); err != nil {
				t.Errorf("without a suffix: %v", err)
			}
			sameIdentity(t, tt.id, id)
		})
	}
}

// Narrowing must not reach into the identity that other requests of the token share.
func TestHostLeavesTheTokenAsItIs(t *testing.T) {
	key, c := openTestKey(t), newClock()
	token := issue(t, key, c.now, Grant{Tenant: "a", Tenants: []string{"b", "c"}, Scopes: []Scope{LogsRead, LogsWrite}})
	a := NewAuthenticator(Policy{Issuers: []Issuer{Own(key.Keys())}, HostSuffix: testSuffix}, c.now)
	for _, host := range []string{"localhost", "b.dev.example.com", "localhost", "c.dev.example.com", "a.dev.example.com", "localhost"} {
		caller := bearer(token)
		caller.Host = host
		id, err := a.Authenticate(caller)
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		want := map[string]Identity{
			"localhost":         {Tenant: "a", Reads: []string{"a", "b", "c"}, Scopes: []Scope{LogsRead, LogsWrite}},
			"a.dev.example.com": {Tenant: "a", Scopes: []Scope{LogsRead, LogsWrite}},
			"b.dev.example.com": {Reads: []string{"b"}, Scopes: []Scope{LogsRead}},
			"c.dev.example.com": {Reads: []string{"c"}, Scopes: []Scope{LogsRead}},
		}[host]
		want.Issuer, want.TokenID, want.Issued, want.Expires = id.Issuer, id.TokenID, id.Issued, id.Expires
		sameIdentity(t, want, id)
	}
	caller := bearer(token)
	caller.Host = "d.dev.example.com"
	_, err := a.Authenticate(caller)
	wantReason(t, err, WrongHost)
}

func TestValidHostSuffix(t *testing.T) {
	for _, suffix := range []string{".dev.example.com", ".localhost", ".a-b.c", ".EXAMPLE.com", "." + strings.Repeat("a", 63)} {
		if err := validHostSuffix(suffix); err != nil {
			t.Errorf("%q: %v", suffix, err)
		}
	}
	for _, suffix := range []string{
		"", ".", "dev.example.com", "..dev.example.com", ".dev.example.com.", ".dev..com", ".dev.example.com:3100", ".*.com", ".a_b.com",
		".dé.com", ".dev.example.com/", "." + strings.Repeat("a", 64), strings.Repeat(".abcdefg", 32),
	} {
		if validHostSuffix(suffix) == nil {
			t.Errorf("%q was accepted", suffix)
		}
	}
}

// FuzzHost looks for a host that widens what a token allows, or reaches another tenant.
func FuzzHost(f *testing.F) {
	for _, host := range []string{
		"", "acme.dev.example.com", "ACME.dev.example.com:3100", "beta.dev.example.com.", "x.acme.dev.example.com", ".dev.example.com",
		"user@acme.dev.example.com", "[::1]:3100", "acme.dev.example.com:x", "a:b@acme.dev.example.com", "victim.dev.example.com", "acme|beta.dev.example.com",
	} {
		f.Add(host, "")
		f.Add(host, host)
		f.Add("acme.dev.example.com", host)
	}
	s := newSnapshot(Policy{HostSuffix: testSuffix}, time.Now)
	f.Fuzz(func(t *testing.T, host, serverName string) {
		all := Identity{Tenant: "acme", Reads: []string{"acme", "beta"}, Scopes: Scopes()}
		for _, was := range []Identity{all, {Reads: []string{"beta"}}, {ReadsAll: true}, {Tenant: "acme", ReadsAll: true, Scopes: Scopes()}} {
			id := was
			if err := s.bindToHost(&id, host, serverName); err != nil {
				if ReasonOf(err) != WrongHost {
					t.Fatalf("%v", err)
				}
				continue
			}
			if err := id.valid(); err != nil {
				t.Fatal(err)
			}
			if id.Tenant != "" && id.Tenant != was.Tenant || id.ReadsAll && !was.ReadsAll {
				t.Fatalf("%+v became %+v", was, id)
			}
			for _, name := range id.Reads {
				if !was.may(name) {
					t.Fatalf("%+v became %+v", was, id)
				}
			}
			// Where a host below the suffix is let through, it is one tenant's.
			if strings.HasSuffix(strings.ToLower(host), testSuffix) && (id.ReadsAll || len(id.Reads) > 1) {
				t.Fatalf("host %q shows %+v", host, id)
			}
		}
	})
}
