package tenancy

import (
	"fmt"
	"slices"
	"strings"
)

// Scope is a permission that a token carries in its "scope" claim (RFC 8693, section 4.2).
type Scope string

// The scopes that exist; anything else in a token is ignored.
const (
	LogsRead         Scope = "logs:read"
	LogsWrite        Scope = "logs:write"
	TracesRead       Scope = "traces:read"
	TracesWrite      Scope = "traces:write"
	InvocationsRead  Scope = "invocations:read"
	ProvisioningRead Scope = "provisioning:read"
	Admin            Scope = "admin"
)

// Scopes returns every scope that exists, in the order in which people read them.
func Scopes() []Scope {
	return []Scope{LogsRead, LogsWrite, TracesRead, TracesWrite, InvocationsRead, ProvisioningRead, Admin}
}

// ParseScope returns the scope called name, or an error that lists the valid ones.
func ParseScope(name string) (Scope, error) {
	if s := Scope(name); slices.Contains(Scopes(), s) {
		return s, nil
	}
	return "", fmt.Errorf("unknown scope %q (valid: %s)", shorten(name), joinScopes(Scopes(), ", "))
}

// Writes reports whether the scope lets data in, which always goes to one tenant.
func (s Scope) Writes() bool { return s == LogsWrite || s == TracesWrite }

const (
	// AllTenants names all tenants, where a token may name several.
	AllTenants = "*"

	// maxTenants is how many tenants one token names at most: an engine asks for each.
	maxTenants = 64
)

// maxTenant is the longest tenant name, in bytes. Loki allows 150; 64 leaves
// room for what engines and object stores add to it in paths.
const maxTenant = 64

// ValidTenant returns an error unless name matches [a-zA-Z0-9_-]{1,64}.
//
// The alphabet is a security boundary, not taste: in the engines '|' queries
// several tenants at once, ':' starts a suffix that is dropped, and '.' and
// '/' walk out of the tenant's directory.
func ValidTenant(name string) error {
	if name == "" {
		return fmt.Errorf("tenant name is empty (want 1 to %d of a-z, A-Z, 0-9, _ and -)", maxTenant)
	}
	if len(name) > maxTenant || strings.ContainsFunc(name, notTenantRune) {
		return fmt.Errorf("tenant name %q is not valid (want 1 to %d of a-z, A-Z, 0-9, _ and -)", shorten(name), maxTenant)
	}
	return nil
}

func notTenantRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-':
		return false
	}
	return true
}

// shorten keeps a stranger's text from filling an error or a log line.
func shorten(s string) string {
	if len(s) <= maxTenant {
		return s
	}
	return s[:maxTenant] + "…"
}

func joinScopes(scopes []Scope, sep string) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return strings.Join(names, sep)
}
