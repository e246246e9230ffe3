package tenancy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

func TestOpenKeyKeepsTheKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "keys")
	first, err := OpenKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !first.private.Equal(second.private) || first.id != second.id {
		t.Error("the second start has another key")
	}
	wantMode(t, dir, 0o700)
	wantMode(t, filepath.Join(dir, keyFile), 0o600)
	wantEntries(t, dir, keyFile)
}

func TestOpenKeyRace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	const openers = 16
	keys := make([]*Key, openers)
	start := make(chan struct{})
	var group errgroup.Group
	for i := range openers {
		group.Go(func() (err error) {
			<-start
			keys[i], err = OpenKey(dir)
			return err
		})
	}
	close(start)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys[1:] {
		if k.id != keys[0].id {
			t.Fatal("two openers got different keys")
		}
	}
	wantEntries(t, dir, keyFile)
}

// The loser of the race must not replace the winner's key.
func TestCreateKeyLeavesAnExistingOne(t *testing.T) {
	dir := t.TempDir()
	winner, err := OpenKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := createKey(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	after, err := OpenKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if after.id != winner.id {
		t.Error("the existing key was replaced")
	}
}

func TestOpenKeyRefuses(t *testing.T) {
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
		"another algorithm": {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "want an Ed25519 key"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, keyFile)
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := OpenKey(dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error = %v, want one with %q and the path", err, tt.want)
			}
		})
	}
}

func TestOpenKeyRefusesAReadableKey(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644} {
		dir := t.TempDir()
		path := filepath.Join(dir, keyFile)
		if _, err := OpenKey(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := OpenKey(dir)
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %#o: error = %v, want the chmod to run", mode, err)
		}
	}
}

// RFC 8037, appendix A.3.
func TestThumbprint(t *testing.T) {
	public, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := thumbprint(public), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("thumbprint = %s, want %s", got, want)
	}
}

func TestKeyPrintsNoSecret(t *testing.T) {
	key := openTestKey(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got, want := fmt.Sprintf(verb, key), "Ed25519 key "+key.id; got != want {
			t.Errorf("%s prints %q, want %q", verb, got, want)
		}
	}
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %#o, want %#o", path, got, want)
	}
}

// wantEntries fails when something else, such as a temporary file, is left in dir.
func wantEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s holds %v, want %v", dir, got, want)
	}
}
