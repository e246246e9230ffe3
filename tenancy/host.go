package tenancy

import (
	"errors"
	"strings"
)

// maxHostSuffix leaves room for a label before it in a name of 253 bytes (RFC 1035).
const maxHostSuffix = 251

// validHostSuffix wants a dot and a DNS name of letters, digits and dashes.
func validHostSuffix(suffix string) error {
	name, ok := strings.CutPrefix(suffix, ".")
	if !ok {
		return errors.New("doesn't begin with a dot (want one such as .dev.example.com)")
	}
	if len(suffix) > maxHostSuffix {
		return errors.New("is longer than a host name can be")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notHostRune) {
			return errors.New("is not a host name (want one such as .dev.example.com, without a port)")
		}
	}
	return nil
}

func notHostRune(r rune) bool { return notTenantRune(r) || r == '_' }

// bindToHost leaves of what id may do only what concerns the tenant that the host names.
func (s *snapshot) bindToHost(id *Identity, host, serverName string) error {
	if s.hostSuffix == "" {
		return nil
	}
	label, bound, err := hostTenant(host, s.hostSuffix)
	if err != nil {
		return err
	}
	// Whoever asks TLS for one tenant's host and HTTP for another's is up to something,
	// or was led astray by a proxy or by a client that reuses connections.
	asked, named, err := hostTenant(serverName, s.hostSuffix)
	if err != nil {
		return err
	}
	if named && (!bound || asked != label) {
		return refused(WrongHost, "TLS was asked for another tenant's host")
	}
	if !bound {
		return nil
	}
	name, ok := id.nameLike(label)
	if !ok {
		return &Error{Reason: WrongHost}
	}
	id.narrow(name)
	return nil
}

// hostTenant returns the tenant that a host below suffix names, in lower case, and
// whether the host is below it.
func hostTenant(host, suffix string) (string, bool, error) {
	name, port := cutPort(host)
	if !below(name, suffix) {
		if below(host, suffix) { // such as user:password@acme.dev.example.com
			return "", true, refused(WrongHost, "not a host name")
		}
		return "", false, nil
	}
	// One dot at the end is that of the root.
	name = strings.TrimSuffix(name, ".")
	label := name[:max(0, len(name)-len(suffix))]
	if !below(name, suffix) || ValidTenant(label) != nil || strings.Trim(port, "0123456789") != "" {
		return "", true, refused(WrongHost, "not the host of a tenant")
	}
	return strings.ToLower(label), true, nil
}

// below reports whether host ends with suffix, and dots.
func below(host, suffix string) bool {
	host = strings.TrimRight(host, ".")
	return len(host) >= len(suffix) && strings.EqualFold(host[len(host)-len(suffix):], suffix)
}

// cutPort takes the port off a host, unless the colon is one of an IPv6 address.
func cutPort(host string) (name, port string) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.LastIndexByte(host, ']') > i {
		return host, ""
	}
	return host[:i], host[i+1:]
}
