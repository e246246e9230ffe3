package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/tenancy"
)

func rotate(t *testing.T, s *Store, until time.Time) (next, old string) {
	t.Helper()
	key, retired, err := s.RotateKey(until)
	if err != nil {
		t.Fatal(err)
	}
	return key.Public().ID, retired.ID
}

func keyInfos(t *testing.T, s *Store) []KeyInfo {
	t.Helper()
	infos, err := s.Keys()
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

func TestRotateKey(t *testing.T) {
	s, c := newStore(t)
	made := c.now()
	first := signingKey(t, s).Public().ID
	early, _ := issue(t, s, JWT, nil)
	opaque, _ := issue(t, s, API, nil)

	c.advance(time.Hour)
	until := c.now().Add(24 * time.Hour)
	second, old := rotate(t, s, until)
	if old != first || second == first || signingKey(t, s).Public().ID != second {
		t.Errorf("rotated %s to %s, and %s signs", old, second, signingKey(t, s).Public().ID)
	}
	wantMode(t, s.retiredDir(), 0o700)
	wantMode(t, s.retiredFile(first), 0o600)
	wantMode(t, s.signingFile(), 0o600)
	wantEntries(t, s.keyDir(), "retired", signingName)
	if strings.Contains(readAll(t, s.retiredFile(first)), "PRIVATE") {
		t.Error("the retired key is still whole")
	}
	want := []KeyInfo{
		{ID: second, State: Signing, Created: c.now()},
		{ID: first, State: Retired, Created: made, Until: until},
	}
	if diff := cmp.Diff(want, keyInfos(t, s)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	late, _ := issue(t, s, JWT, nil)

	for _, step := range []struct {
		after time.Duration
		early tenancy.Reason
	}{{0, ""}, {24*time.Hour - time.Second, ""}, {time.Second, tenancy.BadSignature}} {
		c.advance(step.after)
		_, err := authenticate(t, s, early)
		if got := tenancy.ReasonOf(err); got != step.early {
			t.Errorf("%s: the old key's token: %v, want %q", c.now(), err, step.early)
		}
		for name, token := range map[string]string{"the new key's token": late, "the opaque token": opaque} {
			if _, err := authenticate(t, s, token); err != nil {
				t.Errorf("%s: %s: %v", c.now(), name, err)
			}
		}
	}
	want[1].State = Expired
	if diff := cmp.Diff(want, keyInfos(t, s)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}

	// The next one sweeps it, and leaves the one that it retires.
	rotate(t, s, c.now().Add(time.Hour))
	wantEntries(t, s.retiredDir(), second+".pem")
}

// What an operator does when the key was stolen.
func TestRotateKeyNow(t *testing.T) {
	s, c := newStore(t)
	token, _ := issue(t, s, JWT, nil)
	rotate(t, s, c.now())
	if _, err := authenticate(t, s, token); tenancy.ReasonOf(err) != tenancy.BadSignature {
		t.Errorf("error = %v, want a bad signature", err)
	}
}

func TestRotateKeyNeedsOne(t *testing.T) {
	s, c := newStore(t)
	if _, _, err := s.RotateKey(c.now()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(s.signingFile()); err == nil {
		t.Error("a key was made")
	}
}

// A rotation that was killed between its steps leaves the old key in both places: it
// signs, and is good for longer than the retired file says.
func TestRotateKeyAfterACrash(t *testing.T) {
	s, c := newStore(t)
	token, _ := issue(t, s, JWT, nil)
	signing, first := readAll(t, s.signingFile()), signingKey(t, s).Public().ID
	rotate(t, s, c.now().Add(time.Hour))
	writeFile(t, s.signingFile(), signing)
	writeFile(t, filepath.Join(s.keyDir(), ".signing.pem123"), "what the crash left")

	if diff := cmp.Diff([]KeyInfo{{ID: first, State: Signing, Created: c.now()}}, keyInfos(t, s)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	c.advance(2 * time.Hour)
	if _, err := authenticate(t, s, token); err != nil {
		t.Errorf("the token of the key that signs: %v", err)
	}
	until := c.now().Add(time.Hour)
	_, old := rotate(t, s, until)
	if infos := keyInfos(t, s); old != first || len(infos) != 2 || !infos[1].Until.Equal(until) {
		t.Errorf("keys %v, want %s retired until %s", infos, first, until)
	}
	wantEntries(t, s.keyDir(), "retired", signingName)
}

// An earlier version's key doesn't say when it was made.
func TestKeysOfAKeyWithoutADate(t *testing.T) {
	s, c := newStore(t)
	first := signingKey(t, s).Public().ID
	_, block, dated := strings.Cut(readAll(t, s.signingFile()), "Created: 2026-11-23T12:00:00Z\n")
	if !dated {
		t.Fatal("the key has no date")
	}
	writeFile(t, s.signingFile(), block)
	if diff := cmp.Diff([]KeyInfo{{ID: first, State: Signing}}, keyInfos(t, s)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	until := c.now().Add(time.Hour)
	second, _ := rotate(t, s, until)
	want := []KeyInfo{{ID: second, State: Signing, Created: c.now()}, {ID: first, State: Retired, Until: until}}
	if diff := cmp.Diff(want, keyInfos(t, s)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestRetiredKeyRefuses(t *testing.T) {
	s, c := newStore(t)
	signing := readAllSigning(t, s)
	_, id := rotate(t, s, c.now().Add(time.Hour))
	path, good := s.retiredFile(id), readAll(t, s.retiredFile(id))
	other, _ := newStore(t)
	signingKey(t, other)
	_, otherID := rotate(t, other, c.now().Add(time.Hour))
	noDate := good[strings.Index(good, "-----BEGIN"):]
	for name, tt := range map[string]struct{ content, want string }{
		"empty":              {"", "no PEM block"},
		"half":               {good[:len(good)/2], "no PEM block"},
		"a private key":      {signing, "no PEM block"},
		"broken":             {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key"},
		"another key":        {readAll(t, other.retiredFile(otherID)), otherID},
		"no date":            {noDate, "Valid-Until"},
		"a date of no sense": {strings.Replace(good, "Valid-Until: 2026", "Valid-Until: soon", 1), "Valid-Until"},
		"large":              {good + strings.Repeat("\n", maxKeyFile), "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, path, tt.content)
			for what, read := range map[string]func() error{
				"KeySet": func() error { _, err := s.KeySet(); return err },
				"Keys":   func() error { _, err := s.Keys(); return err },
			} {
				if err := read(); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: error = %v, want one with %q and the path", what, err, tt.want)
				}
			}
		})
	}
	writeFile(t, path, good)
	if err := os.Chmod(path, 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := s.KeySet(); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("a file that others write: error = %v, want the chmod to run", err)
	}
}

func readAllSigning(t *testing.T, s *Store) string {
	t.Helper()
	signingKey(t, s)
	return readAll(t, s.signingFile())
}

func TestKeySet(t *testing.T) {
	s, _ := newStore(t)
	id := signingKey(t, s).Public().ID
	set, err := s.KeySet()
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Keys(id); len(got) != 1 || got[0].ID != id {
		t.Errorf("Keys(%s) = %v", id, got)
	}
	for _, kid := range []string{"", "x", "../signing", id + ".pem"} {
		if got := set.Keys(kid); len(got) != 0 {
			t.Errorf("Keys(%q) = %v, want none", kid, got)
		}
	}
}

func TestKeySetOfAnEmptyDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	s := Open(dir, newClock().now)
	set, err := s.KeySet()
	if err != nil || len(set.Keys("")) != 0 {
		t.Errorf("KeySet = %v, %v; want an empty one", set, err)
	}
	infos, err := s.Keys()
	if err != nil || len(infos) != 0 {
		t.Errorf("Keys = %v, %v; want none", infos, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("reading made the directory")
	}
}
