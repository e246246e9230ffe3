package tenancy

import (
	"errors"
	"strings"
)

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

// maxHostSuffix leaves room for a label before it in a name of 253 bytes (RFC 1035).
const maxHostSuffix = 251
