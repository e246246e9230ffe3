package tenancy

import (
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"time"
)

// snapshot is a policy in force, prepared for questions. It never changes, but for the
// cache of what it answered.
type snapshot struct {
	issuers      map[string]*issuer
	apiTokens    map[string]APIToken
	certificates map[string]Certificate
	revocations  *revocations
	hostSuffix   string
	cache        cache
}

// verified is a credential that was found good, before host and certificate narrow it.
type verified struct {
	id    Identity
	until time.Time // zero: for ever

	// keys has verified it, when it was at generation; nil if no key has.
	keys       KeySet
	generation uint64
}

// ended reports whether the credential's time is over.
func (v *verified) ended(now time.Time) bool { return !v.until.IsZero() && !now.Before(v.until) }

// stale reports whether the credential must be verified again.
func (v *verified) stale(now time.Time) bool {
	return v.ended(now) || v.keys != nil && v.keys.Generation() != v.generation
}

func newSnapshot(p Policy, now func() time.Time) *snapshot {
	s := &snapshot{
		issuers: make(map[string]*issuer, len(p.Issuers)), apiTokens: p.APITokens,
		certificates: make(map[string]Certificate, len(p.Certificates)),
		revocations:  newRevocations(p.Revocations), hostSuffix: strings.ToLower(p.HostSuffix),
	}
	// Which of two of the same name is meant isn't known: neither is.
	for _, i := range p.Issuers {
		_, twice := s.issuers[i.Name]
		s.issuers[i.Name] = newIssuer(i, now)
		if twice {
			s.issuers[i.Name] = nil
		}
	}
	for _, c := range p.Certificates {
		_, twice := s.certificates[c.Subject]
		s.certificates[c.Subject] = c
		if twice {
			s.certificates[c.Subject] = Certificate{} // of no valid tenant
		}
	}
	// Nor is one without a name: those who don't say who they are aren't that.
	delete(s.issuers, "")
	delete(s.certificates, "")
	return s
}

// credential is what a caller shows.
type credential struct {
	token            string // empty: none
	host, serverName string
	certificate      *x509.Certificate
}

// identify returns who shows c, and the proof on which that rests.
func (s *snapshot) identify(c credential, now time.Time) (Identity, *verified, error) {
	byCertificate, err := s.verifyCertificate(c.certificate, now)
	if err != nil {
		return Identity{}, nil, err
	}
	v := byCertificate
	if c.token != "" {
		if v, err = s.verify(c.token, now); err != nil {
			return Identity{}, nil, err
		}
	}
	if v == nil {
		return Identity{}, nil, nobody(c.certificate)
	}
	id := v.id
	if c.token != "" && byCertificate != nil {
		if !id.may(byCertificate.id.Tenant) {
			return Identity{}, nil, of(&id, &Error{Reason: WrongCertificate})
		}
		id.narrow(byCertificate.id.Tenant)
		v = v.endingWith(byCertificate)
	}
	if err := s.bindToHost(&id, c.host, c.serverName); err != nil {
		return Identity{}, nil, of(&id, err)
	}
	return id, v, nil
}

// endingWith returns v, with an end not after other's.
func (v *verified) endingWith(other *verified) *verified {
	if !v.until.IsZero() && v.until.Before(other.until) {
		return v
	}
	sooner := *v
	sooner.until = other.until
	return &sooner
}

// verify returns whose token this is.
func (s *snapshot) verify(token string, now time.Time) (*verified, error) {
	// Before hashing: nothing should work through a megabyte.
	if len(token) > maxToken {
		return nil, malformed("longer than 16 KiB")
	}
	if strings.HasPrefix(token, APITokenPrefix) {
		return s.verifyAPIToken(token, now)
	}
	sum := hash(token)
	if v := s.cache.get(&sum, now); v != nil {
		return v, nil
	}
	if err := oneToken(token); err != nil {
		return nil, err
	}
	v, err := s.verifyJWT(token, now)
	if err != nil {
		return nil, err
	}
	if !v.ended(now) { // only accepted for the leeway
		s.cache.add(&sum, v, now)
	}
	return v, nil
}

// hash is SHA-256. Tokens are mostly short enough for it to need nothing from the heap.
func hash(token string) [sha256.Size]byte {
	var short [2048]byte
	if len(token) > len(short) {
		return sha256.Sum256([]byte(token))
	}
	return sha256.Sum256(short[:copy(short[:], token)])
}
