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
