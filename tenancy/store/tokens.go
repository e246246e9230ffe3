package store

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// Kind says what a token is.
type Kind string

// The kinds of tokens.
const (
	JWT Kind = "jwt" // signed: RFC 7519
	API Kind = "api" // opaque: known by its hash
)

// Token is what is kept of a token that was issued.
type Token struct {
	ID      string // "jti" of a JWT
	Kind    Kind
	KeyID   string   // the key that signed it; empty for an opaque one
	Tenant  string   // whose data it writes; empty if it only reads, of several
	Tenants []string // whose data it reads beside Tenant's; "*" is everybody's
	Subject string
	Scopes  []tenancy.Scope
	Issued  time.Time // to the second
	Expires time.Time
}

// Identity returns who the bearer of the token is.
func (t *Token) Identity() tenancy.Identity {
	id := tenancy.Identity{
		Issuer: tenancy.OwnIssuer, Tenant: t.Tenant, Subject: t.Subject, TokenID: t.ID,
		Scopes: t.Scopes, Issued: t.Issued, Expires: t.Expires,
	}
	switch {
	case slices.Contains(t.Tenants, tenancy.AllTenants):
		id.ReadsAll = true
	case len(t.Tenants) > 0:
		id.Reads = slices.Clone(t.Tenants)
		if t.Tenant != "" && !slices.Contains(id.Reads, t.Tenant) {
			id.Reads = slices.Insert(id.Reads, 0, t.Tenant)
		}
	}
	return id
}

const (
	recordEnd = ".json"

	// maxRecord is what is read of a token's file, in bytes: they have some 400, and
	// many tenants may make it more.
	maxRecord = 1 << 20
)

// record is a token's file.
type record struct {
	Version int             `json:"version"`
	ID      string          `json:"id"`
	Kind    Kind            `json:"kind"`
	KeyID   string          `json:"kid,omitempty"`
	SHA256  string          `json:"sha256,omitempty"` // of an opaque token as a whole, in hexadecimal
	Tenant  string          `json:"tenant,omitempty"`
	Tenants []string        `json:"tenants,omitempty"`
	Subject string          `json:"subject,omitempty"`
	Scopes  []tenancy.Scope `json:"scopes"`
	Issued  time.Time       `json:"issued"`
	Expires time.Time       `json:"expires"`
}

func recordOf(t *Token) record {
	return record{
		Version: fileVersion, ID: t.ID, Kind: t.Kind, KeyID: t.KeyID, Tenant: t.Tenant, Tenants: t.Tenants,
		Subject: t.Subject, Scopes: t.Scopes, Issued: t.Issued.UTC(), Expires: t.Expires.UTC(),
	}
}

func (r *record) token() Token {
	return Token{
		ID: r.ID, Kind: r.Kind, KeyID: r.KeyID, Tenant: r.Tenant, Tenants: r.Tenants,
		Subject: r.Subject, Scopes: r.Scopes, Issued: r.Issued, Expires: r.Expires,
	}
}

// hash returns the hash of an opaque token.
func (r *record) hash() (sum [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(r.SHA256)
	if err != nil || len(raw) != len(sum) {
		return sum, errors.New("sha256 is not a SHA-256 in hexadecimal")
	}
	return [sha256.Size]byte(raw), nil
}

// validate tells what is wrong with the record in the file called name: one that was
// changed by hand must not open more than a token can.
func (r *record) validate(name string) error {
	switch {
	case r.ID != name || !validID(name):
		return errors.New("holds a token with another id than its name")
	case r.Kind != JWT && r.Kind != API:
		return fmt.Errorf("holds a token of kind %q", r.Kind)
	case r.Issued.IsZero() || !r.Issued.Before(r.Expires):
		return errors.New("issued and expires are no span of time")
	}
	if r.Tenant != "" || len(r.Tenants) == 0 {
		if err := tenancy.ValidTenant(r.Tenant); err != nil {
			return err
		}
	}
	for _, t := range r.Tenants {
		if err := tenancy.ValidTenant(t); err != nil && t != tenancy.AllTenants {
			return err
		}
	}
	if r.Kind == API {
		_, err := r.hash()
		return err
	}
	return nil
}

// validID tells whether id is made of letters and digits, so that it may be a file's name.
func validID(id string) bool {
	return id != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// Tokens returns the tokens that were issued and haven't expired, the latest first.
// Those of a few minutes, which commands make for themselves, are not kept.
func (s *Store) Tokens() ([]Token, error) {
	records, err := s.loadRecords()
	if err != nil {
		return nil, err
	}
	var tokens []Token
	for _, r := range records {
		if s.now().Before(r.Expires) {
			tokens = append(tokens, r.token())
		}
	}
	slices.SortFunc(tokens, func(a, b Token) int {
		if c := b.Issued.Compare(a.Issued); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return tokens, nil
}

// APITokens returns the opaque tokens that haven't expired, by id.
func (s *Store) APITokens() (map[string]tenancy.APIToken, error) {
	records, err := s.loadRecords()
	if err != nil {
		return nil, err
	}
	tokens := map[string]tenancy.APIToken{}
	for _, r := range records {
		if r.Kind != API || !s.now().Before(r.Expires) {
			continue
		}
		sum, err := r.hash()
		if err != nil {
			return nil, err
		}
		t := r.token()
		tokens[r.ID] = tenancy.APIToken{Hash: sum, Identity: t.Identity()}
	}
	return tokens, nil
}

// ErrWrongSecret says that an opaque token has the id of one that was issued, and another
// secret.
var ErrWrongSecret = errors.New("the token's secret is wrong")

// APIToken returns what is kept of an opaque token, expired or not. It is an
// [fs.ErrNotExist] when nothing is, and [ErrWrongSecret].
func (s *Store) APIToken(token string) (Token, error) {
	rest, isAPI := strings.CutPrefix(token, tenancy.APITokenPrefix)
	id, _, _ := strings.Cut(rest, "_")
	if !isAPI || !validID(id) {
		return Token{}, fmt.Errorf("look up token: %w", fs.ErrNotExist)
	}
	r, err := s.loadRecord(id)
	if err != nil {
		return Token{}, fmt.Errorf("look up token: %w", err)
	}
	if r.Kind != API {
		return Token{}, fmt.Errorf("look up token: %w", fs.ErrNotExist)
	}
	want, err := r.hash()
	if err != nil {
		return Token{}, fmt.Errorf("look up token: %s: %w", s.recordFile(id), err)
	}
	got := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return Token{}, ErrWrongSecret
	}
	return r.token(), nil
}

// cachedRecord is a record, and the file that it was read from.
type cachedRecord struct {
	file os.FileInfo
	*record
}

// loadRecords returns the records of all tokens. Only those files are read that have
// changed since the last time.
func (s *Store) loadRecords() (map[string]cachedRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := os.ReadDir(s.tokenDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load tokens: %w", err)
	}
	found := make(map[string]cachedRecord, len(entries))
	for _, e := range entries {
		name, isRecord := strings.CutSuffix(e.Name(), recordEnd)
		if !isRecord || strings.HasPrefix(name, ".") {
			continue
		}
		info, err := os.Stat(s.recordFile(name)) // of what a link leads to
		if errors.Is(err, fs.ErrNotExist) {
			continue // swept since
		} else if err != nil {
			return nil, fmt.Errorf("load tokens: %w", err)
		}
		if known, ok := s.records[name]; ok && unchanged(known.file, info) {
			found[name] = known
			continue
		}
		r, err := s.loadRecord(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("load tokens: %w", err)
		}
		found[name] = cachedRecord{info, r}
	}
	s.records = found
	return found, nil
}

func unchanged(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}

func (s *Store) loadRecord(id string) (*record, error) {
	path := s.recordFile(id)
	data, err := readFile(path, maxRecord, guarded)
	if err != nil {
		return nil, err
	}
	var r record
	if err := decode(data, &r, &r.Version); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := r.validate(id); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}

func (s *Store) recordFile(id string) string { return filepath.Join(s.tokenDir(), id+recordEnd) }
