package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

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

// sweepKeys removes retired keys that are of no use, and what a rotation that was
// killed has left.
func (s *Store) sweepKeys(signing string) error {
	left, err := os.ReadDir(s.keyDir())
	if err != nil {
		return err
	}
	for _, e := range left {
		if !strings.HasPrefix(e.Name(), "."+signingName) {
			continue
		}
		if err := os.Remove(filepath.Join(s.keyDir(), e.Name())); err != nil {
			return err
		}
	}
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
