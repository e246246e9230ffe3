package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// APIPrefix is what opaque tokens begin with. Behind it are the id, an underscore and
// the secret.
const APIPrefix = "inv_tok_"

// Issue makes a token for g and writes down that it did. It returns the token itself,
// which is not kept, and what is.
//
// A revocation of all that was issued before a moment ago doesn't hit it; one that
// would is an error.
func (s *Store) Issue(g tenancy.Grant, kind Kind) (string, Token, error) {
	if err := g.Validate(); err != nil {
		return "", Token{}, fmt.Errorf("issue token: %w", err)
	}
	key, err := s.SigningKey()
	if err != nil {
		return "", Token{}, fmt.Errorf("issue token: %w", err)
	}
	var token string
	var made Token
	// The lock keeps a revocation from coming between the look at them and the token.
	err = s.locked(func() error {
		at, err := s.issueTime(g)
		if err != nil {
			return err
		}
		var sum [sha256.Size]byte
		if kind == JWT {
			token, made, err = signJWT(g, key, at)
		} else {
			token, made = makeAPI(g, at)
			sum = sha256.Sum256([]byte(token))
		}
		if err != nil {
			return err
		}
		return errors.Join(s.writeRecord(&made, sum), s.sweepTokens())
	})
	if err != nil {
		return "", Token{}, fmt.Errorf("issue token: %w", err)
	}
	return token, made, nil
}

func newToken(g tenancy.Grant, kind Kind, at time.Time) Token {
	at = at.Truncate(time.Second)
	return Token{
		Kind: kind, Tenant: g.Tenant, Tenants: g.Tenants, Subject: g.Subject,
		Scopes: g.Scopes, Issued: at, Expires: at.Add(g.Life),
	}
}

func signJWT(g tenancy.Grant, key *tenancy.Key, at time.Time) (string, Token, error) {
	issued, err := tenancy.NewSigner(key, func() time.Time { return at }).Issue(g)
	if err != nil {
		return "", Token{}, err
	}
	made := newToken(g, JWT, at)
	made.ID, made.KeyID, made.Issued, made.Expires = issued.ID, key.Public().ID, issued.IssuedAt, issued.Expires
	return issued.Token, made, nil
}

func makeAPI(g tenancy.Grant, at time.Time) (string, Token) {
	made := newToken(g, API, at)
	made.ID = rand.Text() // 26 characters of A-Z and 2-7: 130 bits
	return APIPrefix + made.ID + "_" + rand.Text(), made
}

// issueTime returns when a token for g is said to be issued. That is to the second, so
// one that is made in the second of a revocation is dated from the next: the revocation
// is of what there was.
func (s *Store) issueTime(g tenancy.Grant) (time.Time, error) {
	at := s.now()
	revoked, err := s.loadRevocations()
	if err != nil {
		return at, err
	}
	t := newToken(g, JWT, at)
	for _, r := range revoked {
		if !r.hits(t.Identity()) {
			continue
		}
		next := r.IssuedBefore.Truncate(time.Second).Add(time.Second)
		if r.IssuedBefore.IsZero() || next.Sub(at) > time.Second {
			return at, errors.New("such tokens are revoked: " + r.describe())
		}
		at = next
		t = newToken(g, JWT, at)
	}
	return at, nil
}

func (s *Store) writeRecord(t *Token, sum [sha256.Size]byte) error {
	r := recordOf(t)
	if t.Kind == API {
		r.SHA256 = hex.EncodeToString(sum[:])
	}
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := s.write(s.recordFile(t.ID), append(content, '\n')); err != nil {
		return err
	}
	return markChanged(s.tokenDir())
}

// markChanged makes sure that a change of dir shows in its modification time. The
// kernel may date two changes alike that are within a few milliseconds, and who looks
// between them would never see the second.
func markChanged(dir string) error { return os.Chtimes(dir, time.Time{}, time.Now()) }

const (
	// sweptName is the file whose modification time is when expired tokens were removed last.
	sweptName  = ".swept"
	sweepEvery = 24 * time.Hour
	// sweepAfter is how long ago a token must have expired: clocks differ.
	sweepAfter = time.Hour
)

// sweepTokens removes what is kept of expired tokens, once a day: it takes reading
// everything.
func (s *Store) sweepTokens() error {
	marker := filepath.Join(s.tokenDir(), sweptName)
	info, err := os.Stat(marker)
	if err == nil && s.now().Sub(info.ModTime()) < sweepEvery {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	records, err := s.loadRecords()
	if err != nil {
		return err
	}
	for id, r := range records {
		if s.now().Sub(r.Expires) < sweepAfter {
			continue
		}
		if err := os.Remove(s.recordFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := s.write(marker, nil); err != nil {
		return err
	}
	return os.Chtimes(marker, time.Time{}, s.now())
}
