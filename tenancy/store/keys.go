package store

import (
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

const (
	signingName  = "signing.pem"
	retiredEnd   = ".pem"
	temporaryKey = ".signing-*.tmp"
)

// ErrKeyExists says that there is a signing key already.
var ErrKeyExists = errors.New("there is a signing key already")

// KeyState says what a key is for.
type KeyState string

// The states of a key.
const (
	Signing KeyState = "signing" // it signs new tokens
	Retired KeyState = "retired" // the tokens that it signed are accepted until a date
	Expired KeyState = "expired" // that date has passed
)

// KeyInfo is what is known of a key.
type KeyInfo struct {
	ID      string // "kid"
	State   KeyState
	Created time.Time // zero if it isn't known
	Until   time.Time // zero for the one that signs
}

// SigningKey returns the key that signs tokens, and makes one when there is none yet.
//
// Processes that race for the first use all get the same key. A key file that group or
// others can access is refused, with the command that repairs it.
func (s *Store) SigningKey() (*tenancy.Key, error) {
	k, err := s.loadSigning()
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.createKey(); err != nil && !errors.Is(err, ErrKeyExists) {
			return nil, err
		}
		k, err = s.loadSigning()
	}
	return k.key, err
}

// GenerateKey makes the signing key. It is [ErrKeyExists] when there is one: see
// [Store.RotateKey].
func (s *Store) GenerateKey() (*tenancy.Key, error) {
	if err := s.createKey(); err != nil {
		return nil, err
	}
	return s.SigningKey()
}

// RotateKey makes a new signing key. What the old one has signed is accepted until the
// date keepUntil, to the second; a date that isn't in the future ends it now. Retired
// keys whose date has passed are removed. It returns both keys; without an old one it
// is an [fs.ErrNotExist].
func (s *Store) RotateKey(keepUntil time.Time) (next *tenancy.Key, retired tenancy.PublicKey, err error) {
	err = s.locked(func() error {
		old, err := s.loadSigning()
		if err != nil {
			return err
		}
		retired = old.key.Public()
		retired.Until = keepUntil.UTC().Truncate(time.Second)
		if next, err = tenancy.GenerateKey(); err != nil {
			return err
		}
		// A crash after the first step leaves the old key signing, and retired too:
		// what signs counts. One after the second leaves nothing undone.
		if err := s.retire(retired, old.created); err != nil {
			return err
		}
		content, err := signing{next, s.now()}.encode()
		if err != nil {
			return err
		}
		if err := s.write(s.signingFile(), content); err != nil {
			return err
		}
		return s.sweepKeys(next.Public().ID)
	})
	if err != nil {
		return nil, tenancy.PublicKey{}, fmt.Errorf("rotate the signing key: %w", err)
	}
	return next, retired, nil
}

func (s *Store) retire(key tenancy.PublicKey, created time.Time) error {
	content, err := retired{key, created}.encode()
	if err != nil {
		return err
	}
	return s.write(s.retiredFile(key.ID), content)
}

func (s *Store) retiredFile(id string) string { return filepath.Join(s.retiredDir(), id+retiredEnd) }

// sweepKeys removes retired keys that are of no use.
func (s *Store) sweepKeys(signing string) error {
	all, err := s.loadRetired()
	if err != nil {
		return err
	}
	for _, k := range all {
		if k.key.ID != signing && s.now().Before(k.key.Until) {
			continue
		}
		if err := os.Remove(s.retiredFile(k.key.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(s.retiredDir())
}

// Keys returns what is known of the keys: first the one that signs, then the others,
// those first that are accepted longest.
func (s *Store) Keys() ([]KeyInfo, error) {
	current, all, err := s.loadKeys()
	if err != nil {
		return nil, err
	}
	var infos []KeyInfo
	if current.key != nil {
		infos = append(infos, KeyInfo{ID: current.key.Public().ID, State: Signing, Created: current.created})
	}
	for _, k := range all {
		state := Retired
		if !s.now().Before(k.key.Until) {
			state = Expired
		}
		infos = append(infos, KeyInfo{ID: k.key.ID, State: state, Created: k.created, Until: k.key.Until})
	}
	return infos, nil
}

// KeySet returns the keys whose tokens are accepted, as they are now.
func (s *Store) KeySet() (tenancy.KeySet, error) {
	current, all, err := s.loadKeys()
	if err != nil {
		return nil, err
	}
	set := keySet{}
	if current.key != nil {
		set[current.key.Public().ID] = current.key.Public()
	}
	for _, k := range all {
		if s.now().Before(k.key.Until) {
			set[k.key.ID] = k.key
		}
	}
	return set, nil
}

// keySet never changes. All our tokens name their key.
type keySet map[string]tenancy.PublicKey

// Keys implements [tenancy.KeySet].
func (k keySet) Keys(kid string) []tenancy.PublicKey {
	if key, ok := k[kid]; ok {
		return []tenancy.PublicKey{key}
	}
	return nil
}

// Generation implements [tenancy.KeySet].
func (keySet) Generation() uint64 { return 0 }

// loadKeys returns the key that signs, empty if there is none, and the others. That
// they are read in this order matters: a rotation writes them in the other.
func (s *Store) loadKeys() (signing, []retired, error) {
	current, err := s.loadSigning()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return signing{}, nil, err
	}
	all, err := s.loadRetired()
	if err != nil {
		return signing{}, nil, err
	}
	if current.key != nil {
		// A rotation that didn't come to its end has left the key in both places.
		all = slices.DeleteFunc(all, func(k retired) bool { return k.key.ID == current.key.Public().ID })
	}
	return current, all, nil
}

func (s *Store) loadSigning() (signing, error) {
	data, err := readFile(s.signingFile(), maxKeyFile, private)
	if err != nil {
		return signing{}, fmt.Errorf("load signing key: %w", err)
	}
	k, err := parseSigning(data)
	if err != nil {
		return signing{}, fmt.Errorf("load signing key: %s: %w", s.signingFile(), err)
	}
	return k, nil
}

func (s *Store) loadRetired() ([]retired, error) {
	entries, err := os.ReadDir(s.retiredDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load retired keys: %w", err)
	}
	var all []retired
	for _, e := range entries {
		id, isKey := strings.CutSuffix(e.Name(), retiredEnd)
		if !isKey || strings.HasPrefix(id, ".") {
			continue
		}
		path := filepath.Join(s.retiredDir(), e.Name())
		data, err := readFile(path, maxKeyFile, guarded)
		if errors.Is(err, fs.ErrNotExist) {
			continue // swept since
		} else if err != nil {
			return nil, fmt.Errorf("load retired key: %w", err)
		}
		k, err := parseRetired(data)
		if err == nil && k.key.ID != id {
			err = fmt.Errorf("holds the key %s, not the one of its name", k.key.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("load retired key: %s: %w", path, err)
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b retired) int { return b.key.Until.Compare(a.key.Until) })
	return all, nil
}

// createKey makes the signing key, unless there is one.
//
// link(2) is what makes this safe: unlike rename it never replaces a key, and unlike
// O_EXCL on the file itself nobody can see a key that is half written.
func (s *Store) createKey() (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("create signing key: %w", err)
		}
	}()
	if err := errors.Join(s.makeDir(s.dir), s.makeDir(s.keyDir())); err != nil {
		return err
	}
	key, err := tenancy.GenerateKey()
	if err != nil {
		return err
	}
	content, err := signing{key, s.now()}.encode()
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(s.keyDir(), temporaryKey) // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err == nil {
		err = s.giveAway("", func(_ string, uid, gid int) error { return tmp.Chown(uid, gid) })
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), s.signingFile()); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrKeyExists, s.signingFile())
	} else if err != nil {
		return err
	}
	return syncDir(s.keyDir())
}
