package tenancy

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/golang-jwt/jwt/v5"
)

// keyFile is the name of the signing key in the key directory.
const keyFile = "signing.pem"

// Key is an Ed25519 key pair that signs tokens.
type Key struct {
	id      string
	private ed25519.PrivateKey
}

// Public returns the half of the key that may leave the process.
func (k *Key) Public() PublicKey {
	return PublicKey{ID: k.id, Algorithm: jwt.SigningMethodEdDSA.Alg(), Key: k.private.Public()}
}

// Keys returns a set of this key alone.
func (k *Key) Keys() KeySet { return oneKey(k.Public()) }

type oneKey PublicKey

func (k oneKey) Keys(string) []PublicKey { return []PublicKey{PublicKey(k)} }

func (oneKey) Generation() uint64 { return 0 }

// Format prints the key's id for every verb, so that no log call can print the
// private half by accident.
func (k *Key) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "Ed25519 key "+k.id)
}

// OpenKey loads the signing key of the directory dir (signing.pem: PKCS#8 in
// PEM, mode 0600), and makes directory and key when there is none yet.
//
// Processes that race for the first use all get the same key. A key file that
// group or others can access is refused, with the command that repairs it.
func OpenKey(dir string) (*Key, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make key directory: %w", err)
	}
	path := filepath.Join(dir, keyFile)
	key, err := loadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKey(path); err != nil {
			return nil, fmt.Errorf("create signing key: %w", err)
		}
		key, err = loadKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("load signing key: %w", err)
	}
	return key, nil
}

func loadKey(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be accessed by other users (mode %#o); run: chmod 600 %s", path, mode, path)
	}
	// A key is some 120 bytes; whatever is larger than this is another file.
	data, err := io.ReadAll(io.LimitReader(f, 16<<10))
	if err != nil {
		return nil, err
	}
	private, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return newKey(private), nil
}

func parseKey(data []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New(`no PEM block "PRIVATE KEY"`)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a PKCS#8 private key")
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("holds a %T, want an Ed25519 key", parsed)
	}
	return private, nil
}

// createKey makes a new key at path, or leaves the one that another process
// made in the meantime.
//
// link(2) is what makes this safe: unlike rename it never replaces a key, and
// unlike O_EXCL on path itself nobody can see a key that is half written.
func createKey(path string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".signing-*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	err = pem.Encode(tmp, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new name in dir survive a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newKey(private ed25519.PrivateKey) *Key {
	return &Key{id: thumbprint(private.Public().(ed25519.PublicKey)), private: private}
}

// thumbprint is RFC 7638 over the key's JWK as RFC 8037, section 2 writes it:
// the required members only, in lexicographic order, without whitespace.
func thumbprint(public ed25519.PublicKey) string {
	x := base64.RawURLEncoding.EncodeToString(public)
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
