package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofrs/flock"

	"github.com/invoscope/invoscope/tenancy"
)

// A process that hangs while it holds the lock makes the others fail, not hang.
func TestTheLockIsWaitedForOnlySoLong(t *testing.T) {
	s, _ := newStore(t)
	signingKey(t, s)
	lock := flock.New(filepath.Join(s.dir, "tenancy.lock"))
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"Revoke":    func() error { _, err := s.Revoke(tenancy.Revocation{Subject: "x"}, "", time.Time{}); return err },
		"Issue":     func() error { _, _, err := s.Issue(grant(nil), API); return err },
		"RotateKey": func() error { _, _, err := s.RotateKey(s.now()); return err },
	} {
		synctest.Test(t, func(t *testing.T) {
			if err := change(); err == nil || !strings.Contains(err.Error(), "tenancy.lock: another process has held it for 10s") {
				t.Errorf("%s: error = %v, want one that names the lock", name, err)
			}
		})
	}
	// Who reads doesn't wait.
	for name, read := range map[string]func() error{
		"SigningKey":  func() error { _, err := s.SigningKey(); return err },
		"KeySet":      func() error { _, err := s.KeySet(); return err },
		"APITokens":   func() error { _, err := s.APITokens(); return err },
		"Revocations": func() error { _, err := s.Revocations(); return err },
	} {
		if err := read(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	issue(t, s, API, nil)
}

// All that is made belongs to the data directory's owner, also when root makes it: a
// daemon that isn't root must be able to read it.
func TestFilesBelongToTheDirectorysOwner(t *testing.T) {
	s, c := newStore(t)
	owner := os.Getuid()
	if owner == 0 {
		owner = 12345
		if err := os.Chown(s.dir, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	signingKey(t, s)
	issue(t, s, API, nil)
	revoke(t, s, tenancy.Revocation{Subject: "x"})
	rotate(t, s, c.now().Add(time.Hour))
	seen := 0
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if got := int(info.Sys().(*syscall.Stat_t).Uid); got != owner {
			t.Errorf("%s belongs to %d, want %d", path, got, owner)
		}
		seen++
		return nil
	})
	if err != nil || seen < 10 {
		t.Errorf("%d files, %v", seen, err)
	}
}
