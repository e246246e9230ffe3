package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/invoscope/invoscope/tenancy"
)

func TestSigningKeyKeepsTheKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data")
	first := signingKey(t, Open(dir, newClock().now))
	second := signingKey(t, Open(dir, newClock().now))
	if first.Public().ID != second.Public().ID {
		t.Error("the second start has another key")
	}
	for _, made := range []string{dir, filepath.Join(dir, "keys")} {
		wantMode(t, made, 0o700)
	}
	wantMode(t, filepath.Join(dir, "keys", signingName), 0o600)
	wantEntries(t, filepath.Join(dir, "keys"), signingName)
}

func TestSigningKeyRace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	const openers = 16
	keys := make([]*tenancy.Key, openers)
	start := make(chan struct{})
	var group errgroup.Group
	for i := range openers {
		group.Go(func() (err error) {
			<-start
			keys[i], err = Open(dir, newClock().now).SigningKey()
			return err
		})
	}
	close(start)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys[1:] {
		if k.Public().ID != keys[0].Public().ID {
			t.Fatal("two openers got different keys")
		}
	}
	wantEntries(t, filepath.Join(dir, "keys"), signingName)
}

// The loser of the race must not replace the winner's key.
func TestGenerateKeyLeavesAnExistingOne(t *testing.T) {
	s, _ := newStore(t)
	winner, err := s.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GenerateKey(); !errors.Is(err, ErrKeyExists) {
		t.Errorf("error = %v, want ErrKeyExists", err)
	}
	if after := signingKey(t, s); after.Public().ID != winner.Public().ID {
		t.Error("the existing key was replaced")
	}
	wantEntries(t, s.keyDir(), signingName)
}

func TestSigningKeyRefuses(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		content string
		want    string
	}{
		"empty":             {"", "no PEM block"},
		"garbage":           {"not a key", "no PEM block"},
		"public key":        {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no PEM block"},
		"broken":            {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a PKCS#8"},
		"bad date":          {"Created: soon\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "Created"},
		"another algorithm": {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "want an Ed25519 key"},
		"large":             {strings.Repeat("a", maxKeyFile+1), "larger than"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := newStore(t)
			writeFile(t, s.signingFile(), tt.content)
			for what, open := range map[string]func() error{
				"SigningKey": func() error { _, err := s.SigningKey(); return err },
				"KeySet":     func() error { _, err := s.KeySet(); return err },
				"Keys":       func() error { _, err := s.Keys(); return err },
				"RotateKey":  func() error { _, _, err := s.RotateKey(s.now()); return err },
			} {
				if err := open(); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), s.signingFile()) {
					t.Errorf("%s: error = %v, want one with %q and the path", what, err, tt.want)
				}
			}
			if after := readAll(t, s.signingFile()); after != tt.content {
				t.Error("the file was changed")
			}
		})
	}
}

func TestSigningKeyRefusesAReadableKey(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644} {
		s, _ := newStore(t)
		signingKey(t, s)
		if err := os.Chmod(s.signingFile(), mode); err != nil {
			t.Fatal(err)
		}
		_, err := s.SigningKey()
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+s.signingFile()) {
			t.Errorf("mode %#o: error = %v, want the chmod to run", mode, err)
		}
	}
}
