package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const wholeTenancy = `listen:
  tls: {cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem, require_client_certificate: true}
tenancy:
  host_suffix: .dev.example.com
  tenants_file: tenants.yaml
  issuers:
  - issuer: https://idp.example.com
    audiences: [invoscope]
    keys: [{discovery: true, ca_file: idp.pem, refresh: 5m}, {jwks_url: "https://keys.example.com/a?p=1", tenant: acme}]
    claims: {tenant: /org/name, roles: groups}
    roles: {"viewers.all": ["logs:read", "traces:read"]}
  - issuer: ci
    audiences: [invoscope]
    algorithms: [HS256]
    leeway: 0s
    tenant: ci
    keys: [{secret_file: ci.secret, id: "1"}]
  certificates:
  - {subject: "CN=shipper,O=Acme", tenant: acme, scopes: ["logs:write"]}
audit: {file: audit.log, max_bytes: 1MiB, max_files: 2, queries: true}
`

func TestTenancyIsRead(t *testing.T) {
	c, err := load(t, wholeTenancy, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Issuer{{
		Issuer: "https://idp.example.com", Audiences: []string{"invoscope"}, Leeway: defaultLeeway,
		Keys: []KeySource{
			{Discovery: true, CAFile: "idp.pem", Refresh: Duration(5 * time.Minute)},
			{JWKSURL: "https://keys.example.com/a?p=1", Tenant: "acme", Refresh: defaultRefresh},
		},
		Claims: Claims{Tenant: "/org/name", Tenants: "tenants", Scope: "scope", Roles: "groups"},
		Roles:  map[string][]string{"viewers.all": {"logs:read", "traces:read"}},
	}, {
		Issuer: "ci", Audiences: []string{"invoscope"}, Algorithms: []string{"HS256"}, Tenant: "ci",
		Keys:   []KeySource{{SecretFile: "ci.secret", ID: "1", Refresh: defaultRefresh}},
		Claims: Claims{Tenant: "tenant", Tenants: "tenants", Scope: "scope"},
	}}
	if diff := cmp.Diff(want, c.Tenancy.Issuers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var printed strings.Builder
	if err := c.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed.String(), "jwks_url: https://keys.example.com/a?<secret>\n") {
		t.Errorf("printed:\n%s", printed.String())
	}
	c.Tenancy.Issuers[0].Keys[1].JWKSURL = "https://keys.example.com/a?<secret>" // what of it is printed
	if again, err := load(t, printed.String(), nil); err != nil {
		t.Error(err)
	} else if diff := cmp.Diff(c, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("printed and read again (-want +got):\n%s", diff)
	}
}

// issuer is a configuration with one issuer, of one line that begins in column 11.
func issuer(text string) string { return "tenancy:\n  issuers:\n  - " + text + "\n" }

const noKeys = "{issuer: 'https://idp', audiences: [a], "

func TestProblemsOfTenancy(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"half of TLS":                    {"listen: {tls: {cert_file: c}}\n", "F:1:27: listen.tls.cert_file: needs a key_file beside it"},
		"the other half":                 {"listen: {tls: {key_file: c}}\n", "F:1:26: listen.tls.key_file: needs a cert_file beside it"},
		"clients without TLS":            {"listen: {tls: {client_ca_file: c}}\n", "F:1:32: listen.tls.client_ca_file: needs TLS: set cert_file and key_file"},
		"required, but of whom":          {"listen: {tls: {require_client_certificate: true}}\n", "F:1:44: listen.tls.require_client_certificate: needs a client_ca_file"},
		"a suffix without its dot":       {"tenancy: {host_suffix: example.com}\n", "F:1:24: tenancy.host_suffix: doesn't begin with a dot (want one such as .dev.example.com)"},
		"a suffix with a port":           {"tenancy: {host_suffix: '.example.com:3100'}\n", "F:1:24: tenancy.host_suffix: is not a host name (want one such as .dev.example.com, without a port)"},
		"certificates without a CA":      {"tenancy: {certificates: [{subject: CN=a, tenant: a, scopes: ['logs:read']}]}\n", "F:1:25: tenancy.certificates: need listen.tls.client_ca_file, which says whose certificates to believe"},
		"a certificate's scope":          {"listen: {tls: {cert_file: c, key_file: k, client_ca_file: a}}\ntenancy: {certificates: [{subject: 'O=A, CN=a', tenant: a, scopes: ['logs:raed']}]}\n", "F:2:36: tenancy.certificates[0].subject: \"O=A, CN=a\" is written otherwise: CN=a,O=A\nF:2:69: tenancy.certificates[0].scopes[0]: unknown scope \"logs:raed\" (valid: logs:read, logs:write, traces:read, traces:write, invocations:read, provisioning:read, admin)"},
		"an audit log of one byte":       {"audit: {max_bytes: 1, max_files: 0}\n", "F:1:20: audit.max_bytes: must be at least 64KiB\nF:1:34: audit.max_files: must be between 1 and 1000"},
		"an issuer of nothing":           {issuer("{}"), "F:3:5: tenancy.issuers[0].audiences: must name what tokens for this Invoscope have as aud\nF:3:5: tenancy.issuers[0].issuer: is empty\nF:3:5: tenancy.issuers[0].keys: must name at least one source of keys"},
		"our own name":                   {issuer("{issuer: invoscope, audiences: [a], keys: [{file: k}]}"), "F:3:14: tenancy.issuers[0].issuer: invoscope is the issuer of the daemon's own tokens"},
		"twice":                          {issuer("{issuer: i, audiences: [a], keys: [{file: k}]}\n  - {issuer: i, audiences: [a], keys: [{file: k}]}"), "F:4:14: tenancy.issuers[1].issuer: the same as that of issuers[0]"},
		"two sources in one":             {issuer(noKeys + "keys: [{file: k, jwks_url: 'https://b'}]}"), "F:3:52: tenancy.issuers[0].keys[0]: want exactly one of file, secret_file, jwks_file, jwks_url and discovery"},
		"no source":                      {issuer(noKeys + "keys: [{id: k}]}"), "F:3:52: tenancy.issuers[0].keys[0]: want exactly one of file, secret_file, jwks_file, jwks_url and discovery\nF:3:57: tenancy.issuers[0].keys[0].id: is for a file or a secret_file: others name their keys themselves"},
		"keys over plain HTTP":           {issuer(noKeys + "keys: [{jwks_url: 'http://b'}]}"), "F:3:63: tenancy.issuers[0].keys[0].jwks_url: http://b: want https, or http at a loopback host"},
		"keys of a name below localhost": {issuer(noKeys + "keys: [{jwks_url: 'http://b.localhost'}]}"), "F:3:63: tenancy.issuers[0].keys[0].jwks_url: http://b.localhost: want https, or http at a loopback host"},
		"keys with a password":           {issuer(noKeys + "keys: [{jwks_url: 'https://u:p@b'}]}"), "F:3:63: tenancy.issuers[0].keys[0].jwks_url: a URL with a password would be sent and logged; leave it out"},
		"discovery at no URL":            {issuer("{issuer: i, audiences: [a], keys: [{discovery: true}]}"), "F:3:52: tenancy.issuers[0].keys[0].discovery: the issuer's name must be where to ask: not an absolute URL"},
		"discovery with a query":         {issuer("{issuer: 'https://i?x', audiences: [a], keys: [{discovery: true}]}"), "F:3:64: tenancy.issuers[0].keys[0].discovery: the issuer's name must be where to ask: an issuer's URL has no query"},
		"a CA for a file":                {issuer(noKeys + "keys: [{file: k, ca_file: c, refresh: 1s}]}"), "F:3:71: tenancy.issuers[0].keys[0].ca_file: is for a jwks_url or discovery\nF:3:83: tenancy.issuers[0].keys[0].refresh: must be at least 10s"},
		"an algorithm's name":            {issuer(noKeys + "algorithms: [none], keys: [{file: k}]}"), `F:3:58: tenancy.issuers[0].algorithms[0]: unsupported "none" (want EdDSA, ES256, ES384, ES512, PS256, PS384, PS512, RS256, RS384, RS512, HS256, HS384, HS512)`},
		"HMAC with a public key":         {issuer(noKeys + "algorithms: [HS256], keys: [{file: k}]}"), "F:3:57: tenancy.issuers[0].algorithms: HS256, HS384 and HS512 need a secret_file"},
		"a secret, no HMAC":              {issuer(noKeys + "keys: [{secret_file: k}]}"), "F:3:66: tenancy.issuers[0].keys[0].secret_file: needs HS256, HS384 or HS512 among the issuer's algorithms"},
		"a secret for RSA":               {issuer(noKeys + "algorithms: [HS256, RS256], keys: [{secret_file: k}]}"), "F:3:57: tenancy.issuers[0].algorithms: only HS256, HS384 and HS512 go with a secret_file alone"},
		"a scope's name":                 {issuer(noKeys + "keys: [{file: k}], claims: {roles: r}, roles: {a: ['logs:raed'], b: []}}"), "F:3:96: tenancy.issuers[0].roles.a[0]: unknown scope \"logs:raed\" (valid: logs:read, logs:write, traces:read, traces:write, invocations:read, provisioning:read, admin)\nF:3:113: tenancy.issuers[0].roles.b: must name at least one scope"},
		"roles that nobody names":        {issuer(noKeys + "keys: [{file: k}], roles: {a: ['logs:read']}}"), "F:3:71: tenancy.issuers[0].roles: need claims.roles, which says where a token names its roles"},
		"roles that give nothing":        {issuer(noKeys + "keys: [{file: k}], claims: {roles: r}}"), "F:3:80: tenancy.issuers[0].claims.roles: gives nothing without roles"},
		"a pointer":                      {issuer(noKeys + "keys: [{file: k}], claims: {tenant: /a~b}}"), `F:3:81: tenancy.issuers[0].claims.tenant: not a JSON pointer: "~" is written as "~0"`},
		"nobody says the tenant":         {issuer(noKeys + "keys: [{file: k}], claims: {tenant: '', tenants: ''}}"), "F:3:72: tenancy.issuers[0].claims: say no tenant, and nothing else does: set tenant, or claims.tenant, or claims.tenants"},
		"nobody says the scope":          {issuer(noKeys + "keys: [{file: k}], claims: {scope: ''}}"), "F:3:80: tenancy.issuers[0].claims.scope: must not be empty unless there are roles: nothing else says what a token allows"},
		"tenants that can't be":          {issuer(noKeys + "tenant: 'a|b', keys: [{file: k, tenant: ..}]}"), "F:3:53: tenancy.issuers[0].tenant: tenant name \"a|b\" is not valid (want 1 to 64 of a-z, A-Z, 0-9, _ and -)\nF:3:85: tenancy.issuers[0].keys[0].tenant: tenant name \"..\" is not valid (want 1 to 64 of a-z, A-Z, 0-9, _ and -)"},
		"more keys than are tried":       {issuer(noKeys + "keys: [" + strings.Repeat("{file: k}, ", 8) + "{file: k, id: a}, {file: k}]}"), "F:3:51: tenancy.issuers[0].keys: 9 files without an id, of which only 8 are tried on a token: give them ids, which tokens name as kid"},
		"a leeway":                       {issuer(noKeys + "leeway: 1h, keys: [{file: k}]}"), "F:3:53: tenancy.issuers[0].leeway: is 1h0m0s (want 0 to 10m0s)"},
		"an unknown key of a source":     {issuer(noKeys + "keys: [{jwks: k}]}"), "F:3:52: tenancy.issuers[0].keys[0]: want exactly one of file, secret_file, jwks_file, jwks_url and discovery\nF:3:53: tenancy.issuers[0].keys[0]: unknown key \"jwks\" (want file, secret_file, jwks_file, jwks_url, discovery, id, tenant, refresh, ca_file)"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.yaml, nil)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeysMayComeFromLoopbackInPlain(t *testing.T) {
	for _, host := range []string{"localhost:1", "127.0.0.1:1", "[::1]:1"} {
		if _, err := load(t, issuer("{issuer: i, audiences: [a], keys: [{jwks_url: 'http://"+host+"/k'}]}"), nil); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}
