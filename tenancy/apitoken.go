package tenancy

import (
	"crypto/subtle"
	"strings"
	"time"
)

const (
	// APITokenPrefix begins every API token: inv_tok_<id>_<secret>.
	APITokenPrefix = "inv_tok_"

	// maxTokenID is the longest id of an API token, in bytes.
	maxTokenID = 64
)

func notAlphanumeric(r rune) bool { return notTenantRune(r) || r == '_' || r == '-' }

// verifyAPIToken is not cached: it costs a hash, as the cache does. A token of an unknown
// id and one with a wrong secret take the same way to the same refusal.
func (s *snapshot) verifyAPIToken(token string, now time.Time) (*verified, error) {
	if err := oneToken(token); err != nil {
		return nil, err
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(token, APITokenPrefix), "_")
	known, ok := s.apiTokens[id]
	sum := hash(token)
	same := subtle.ConstantTimeCompare(sum[:], known.Hash[:]) == 1
	if !ok || !same {
		return nil, refused(BadSignature, "unknown API token")
	}
	v := &verified{id: known.Identity, until: known.Identity.Expires}
	if v.ended(now) {
		return nil, of(&v.id, &Error{Reason: Expired})
	}
	if err := v.id.valid(); err != nil {
		return nil, &Error{Reason: BadTenant, cause: err}
	}
	v.id.normalize()
	if s.revocations.revoked(&v.id) {
		return nil, of(&v.id, &Error{Reason: Revoked})
	}
	return v, nil
}
