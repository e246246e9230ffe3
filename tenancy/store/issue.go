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
	"strings"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// Issue makes a token for g and writes down that it did. It returns the token itself,
// which is not kept, and what is.
//
// A revocation of all that was issued before a moment ago doesn't hit it; one that
// would is an error.
func (s *Store) Issue(g tenancy.Grant, kind Kind) (string, Token, error) {
	token, made, err := s.issue(g, kind, true)
	if err != nil {
		return "", Token{}, fmt.Errorf("issue token: %w", err)
	}
	return token, made, nil
}

// MaxPassing is how long a token of [Store.IssuePassing] may live.
const MaxPassing = time.Hour

// IssuePassing makes a JWT that a command uses once, and keeps no record of it: lists
// would be full of them. Revocations hit it like any other.
func (s *Store) IssuePassing(g tenancy.Grant) (string, error) {
	if g.Life > MaxPassing {
		return "", fmt.Errorf("issue token: a life of %s without a record (want at most %s)", g.Life, MaxPassing)
	}
	token, _, err := s.issue(g, JWT, false)
	if err != nil {
		return "", fmt.Errorf("issue token: %w", err)
	}
	return token, nil
}

func (s *Store) issue(g tenancy.Grant, kind Kind, keep bool) (token string, made Token, err error) {
	// Before anything is made for what can't be granted.
	if err := g.Validate(); err != nil {
		return "", Token{}, err
	}
	// The lock keeps a revocation from coming between the look at them and the token,
	// and a rotation between the look at the key and its use.
	err = s.locked(func() error {
		at, err := s.issueTime(g)
		if err != nil {
			return err
		}
		var sum [sha256.Size]byte
		switch kind {
		case JWT:
			token, made, err = s.signJWT(g, at)
		case API:
			token, made = makeAPI(g, at)
			sum = sha256.Sum256([]byte(token))
		default:
			err = fmt.Errorf("unknown kind of token %q", kind)
		}
		if err != nil || !keep {
			return err
		}
		if err := s.sweepTokens(); err != nil {
			return err
		}
		return s.writeRecord(&made, sum)
	})
	return token, made, err
}

func newToken(g tenancy.Grant, kind Kind, at time.Time) Token {
	at = at.Truncate(time.Second)
	return Token{
		Kind: kind, Tenant: g.Tenant, Tenants: g.Tenants, Subject: g.Subject,
		Scopes: g.Scopes, Issued: at, Expires: at.Add(g.Life),
	}
}

func (s *Store) signJWT(g tenancy.Grant, at time.Time) (string, Token, error) {
	key, err := s.SigningKey()
	if err != nil {
		return "", Token{}, err
	}
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
	return tenancy.APITokenPrefix + made.ID + "_" + rand.Text(), made
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
		if !r.Names(t.Identity()) {
			continue
		}
		if r.IssuedBefore.IsZero() || r.IssuedBefore.Sub(at) > time.Second {
			return at, errors.New("such tokens are revoked: " + r.describe())
		}
		next := r.IssuedBefore.Truncate(time.Second)
		if next.Before(r.IssuedBefore) {
			next = next.Add(time.Second)
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

// sweepTokens removes what is kept of expired tokens, and what a crash has left, once a
// day: it takes reading everything. What can't be read stays, for who needs it to say.
func (s *Store) sweepTokens() error {
	marker := filepath.Join(s.tokenDir(), sweptName)
	info, err := os.Stat(marker)
	if err == nil && s.now().Sub(info.ModTime()) < sweepEvery {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(s.tokenDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name() == sweptName || !s.isOver(e) {
			continue
		}
		err := os.Remove(filepath.Join(s.tokenDir(), e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := s.write(marker, nil); err != nil {
		return err
	}
	return os.Chtimes(marker, time.Time{}, s.now())
}

// isOver tells whether a file is of an expired token, or a temporary one whose writer,
// which holds the lock, is gone.
func (s *Store) isOver(e fs.DirEntry) bool {
	id, isRecord := strings.CutSuffix(e.Name(), recordEnd)
	if !isRecord || !validID(id) {
		return e.Type().IsRegular() && strings.HasPrefix(e.Name(), ".")
	}
	r, err := s.loadRecord(id)
	return err == nil && s.now().Sub(r.Expires) >= sweepAfter
}
