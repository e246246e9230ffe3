package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/invoscope/invoscope/tenancy"
)

// The environment of a process that the tests start: what it is to do, and where.
const (
	roleVariable = "INVOSCOPE_STORE_TEST_ROLE"
	dirVariable  = "INVOSCOPE_STORE_TEST_DIR"
)

// role does what a process of a test is for, and returns false in the test's own.
func role() (isRole bool) {
	s := Open(os.Getenv(dirVariable), time.Now)
	var err error
	switch name := os.Getenv(roleVariable); name {
	case "":
		return false
	case "rotate":
		err = rotateForever(s, os.Stdout)
	default:
		err = changeAll(s, name)
	}
	if err != nil {
		_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
		os.Exit(1)
	}
	return true
}

func startRole(t *testing.T, s *Store, role string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, dirVariable+"="+s.dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

const changes = 10 // of each kind and process

// changeAll makes changes of every kind.
func changeAll(s *Store, name string) error {
	for i := range changes {
		if _, err := s.Revoke(tenancy.Revocation{TokenID: name + strconv.Itoa(i)}, "", time.Time{}); err != nil {
			return err
		}
		if _, err := s.Revoke(tenancy.Revocation{TokenID: "common" + strconv.Itoa(i)}, "", time.Time{}); err != nil {
			return err
		}
		for _, kind := range []Kind{JWT, API} {
			g := grant(func(g *tenancy.Grant) { g.Subject = name })
			if _, _, err := s.Issue(g, kind); err != nil {
				return err
			}
		}
	}
	_, _, err := s.RotateKey(time.Now().Add(time.Hour))
	return err
}

// Processes that change a directory at the same time lose no change of another, and who
// reads meanwhile finds everything whole.
func TestProcessesChangeOneDirectory(t *testing.T) {
	s := Open(t.TempDir(), time.Now)
	signingKey(t, s)
	const processes = 3
	done := make(chan struct{})
	var readers, writers errgroup.Group
	readers.Go(func() error {
		for keys := 1; ; {
			infos, err := s.Keys()
			_, setErr := s.KeySet()
			_, apiErr := s.APITokens()
			_, revokedErr := s.Revocations()
			if err := errors.Join(err, setErr, apiErr, revokedErr); err != nil {
				return err
			}
			if len(infos) < keys || infos[0].State != Signing {
				return fmt.Errorf("there were %d keys, and now: %v", keys, infos)
			}
			keys = len(infos)
			select {
			case <-done:
				return nil
			default:
			}
		}
	})
	for i := range processes {
		cmd, _ := startRole(t, s, "process"+strconv.Itoa(i)+"x")
		writers.Go(cmd.Wait)
	}
	// One more is this one.
	writers.Go(func() error { return changeAll(s, "own") })
	if err := writers.Wait(); err != nil {
		t.Error(err)
	}
	close(done)
	if err := readers.Wait(); err != nil {
		t.Error(err)
	}

	const writing = processes + 1
	if got := len(revocations(t, s)); got != (writing+1)*changes {
		t.Errorf("%d revocations, want %d", got, (writing+1)*changes)
	}
	if got := len(listed(t, s)); got != 2*writing*changes {
		t.Errorf("%d tokens, want %d", got, 2*writing*changes)
	}
	if got := len(keyInfos(t, s)); got != writing+1 {
		t.Errorf("%d keys, want %d", got, writing+1)
	}
}

// rotateForever says of each key that it signs, once it does.
func rotateForever(s *Store, out io.Writer) error {
	for {
		key, err := s.SigningKey()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, key.Public().ID); err != nil {
			return err
		}
		if _, _, err := s.RotateKey(time.Now().Add(time.Hour)); err != nil {
			return err
		}
	}
}

// A process that is killed while it rotates leaves a key that signs, and every key that
// ever did.
func TestRotationIsKilled(t *testing.T) {
	s := Open(t.TempDir(), time.Now)
	signed := map[string]bool{}
	for range 10 {
		cmd, out := startRole(t, s, "rotate")
		lines := bufio.NewScanner(out)
		for n := 1 + rand.IntN(5); n > 0 && lines.Scan(); n-- {
			signed[lines.Text()] = true
		}
		// Anywhere within the next rotation.
		timer := time.NewTimer(time.Duration(rand.IntN(3000)) * time.Microsecond)
		<-timer.C
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			signed[lines.Text()] = true
		}
		var ended *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &ended) || ended.Exited() {
			t.Fatalf("the process ended by itself: %v", err)
		}

		set, err := s.KeySet()
		if err != nil {
			t.Fatal(err)
		}
		for id := range signed {
			if len(set.Keys(id)) != 1 {
				t.Errorf("the key %s has signed, and is lost", id)
			}
		}
		if infos := keyInfos(t, s); infos[0].State != Signing {
			t.Errorf("no key signs: %v", infos)
		}
	}
	// What the killed have left doesn't stay.
	rotate(t, s, time.Now().Add(time.Hour))
	wantEntries(t, s.keyDir(), "retired", signingName)
}
