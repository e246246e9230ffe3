package config

import "strings"

// TLS says how the public ports are encrypted; they aren't if it is empty. The files
// are PEM, and read again when they change.
type TLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ClientCAFile holds the authorities of client certificates, which are asked for
	// if it is set.
	ClientCAFile string `yaml:"client_ca_file"`
	// RequireClientCertificate refuses connections without one.
	RequireClientCertificate bool `yaml:"require_client_certificate"`
}

// Tenancy says whose data is whose.
type Tenancy struct {
	// DefaultTenant is the tenant of the daemon's own token.
	DefaultTenant string `yaml:"default_tenant"`
	// Key is the stream label and resource attribute that carry the tenant.
	Key string `yaml:"key"`
	// HostSuffix makes the hosts below it stand for a tenant each.
	HostSuffix string `yaml:"host_suffix"`
	// TenantsFile is where the tenants' limits are.
	TenantsFile string `yaml:"tenants_file"`
	// Issuers are those whose JWTs are accepted beside the daemon's own.
	Issuers []Issuer `yaml:"issuers"`
	// Certificates are the client certificates that stand for a tenant.
	Certificates []Certificate `yaml:"certificates"`
}

// Issuer is somebody whose JWTs are accepted.
type Issuer struct {
	Issuer     string      `yaml:"issuer"`     // "iss"
	Audiences  []string    `yaml:"audiences"`  // one of which "aud" must name
	Algorithms []string    `yaml:"algorithms"` // empty: every asymmetric one
	Leeway     Duration    `yaml:"leeway"`     // how far its clock may differ from ours
	Keys       []KeySource `yaml:"keys"`
	// Tenant is the tenant of all its tokens.
	Tenant string `yaml:"tenant"`
	Claims Claims `yaml:"claims"`
	// Roles gives the scopes of a role.
	Roles map[string][]string `yaml:"roles"`
}

// KeySource is where keys are: exactly one of the first five.
type KeySource struct {
	File       string `yaml:"file"`        // PEM: public keys, certificates
	SecretFile string `yaml:"secret_file"` // the secret of HS256, HS384 or HS512
	JWKSFile   string `yaml:"jwks_file"`
	JWKSURL    KeyURL `yaml:"jwks_url"`
	Discovery  bool   `yaml:"discovery"` // OIDC discovery at the issuer's URL

	ID      string   `yaml:"id"`      // "kid" of the key of a file; empty: any
	Tenant  string   `yaml:"tenant"`  // of all tokens that the source's keys sign
	Refresh Duration `yaml:"refresh"` // how often a URL is asked again
	CAFile  string   `yaml:"ca_file"` // PEM: who vouches for the URL's server
}

// KeyURL is a URL whose query never prints: some providers want a key of theirs there.
type KeyURL string

// String hides the query.
func (u KeyURL) String() string {
	plain, _, has := strings.Cut(string(u), "?")
	if has {
		return plain + "?" + hidden
	}
	return plain
}

// GoString hides the query.
func (u KeyURL) GoString() string { return u.String() }

// MarshalText hides the query.
func (u KeyURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Claims say where in a token things are: the name of a claim, or a JSON pointer
// (RFC 6901) if it begins with a slash.
type Claims struct {
	Tenant  string `yaml:"tenant"`
	Tenants string `yaml:"tenants"`
	Scope   string `yaml:"scope"`
	Roles   string `yaml:"roles"`
}

// Certificate says whom a client certificate stands for.
type Certificate struct {
	Subject string   `yaml:"subject"` // RFC 2253, such as CN=shipper,O=Acme
	Tenant  string   `yaml:"tenant"`
	Scopes  []string `yaml:"scopes"`
}

// Audit says where a line about each request is written.
type Audit struct {
	File     string `yaml:"file"`      // empty: nowhere; "-": standard error
	MaxBytes Bytes  `yaml:"max_bytes"` // of the file, before a new one is begun
	MaxFiles uint64 `yaml:"max_files"` // that are kept beside it
	Queries  bool   `yaml:"queries"`   // with the text of queries
}

func (i *Issuer) setDefaults() {
	i.Leeway = defaultLeeway
	i.Claims = Claims{Tenant: "tenant", Tenants: "tenants", Scope: "scope"}
}

func (k *KeySource) setDefaults() { k.Refresh = defaultRefresh }
