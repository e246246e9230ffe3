package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	jose "github.com/go-jose/go-jose/v4"
)

// keys is the folder with the keys, the one that signs last: NUMBER.ALGORITHM.KID.pem.
type keys string

// pair is a key that tokens are signed with.
type pair struct {
	id        string
	algorithm jose.SignatureAlgorithm
	private   crypto.Signer
	path      string
}

func (p pair) ID() string                                  { return p.id }
func (p pair) SignatureAlgorithm() jose.SignatureAlgorithm { return p.algorithm }
func (p pair) Key() any                                    { return p.private }

// published is the half of a key that everybody may have.
type published struct{ pair }

func (p published) Algorithm() jose.SignatureAlgorithm { return p.algorithm }
func (p published) Use() string                        { return "sig" }
func (p published) Key() any                           { return p.private.Public() }

// all returns the keys, the oldest first.
func (k keys) all() ([]pair, error) {
	paths, err := filepath.Glob(filepath.Join(string(k), "*.pem"))
	if err != nil {
		return nil, err
	}
	var all []pair
	for _, path := range paths {
		parts := strings.Split(filepath.Base(path), ".")
		data, err := os.ReadFile(path)
		block, _ := pem.Decode(data)
		if err != nil {
			return nil, err
		}
		if block == nil || len(parts) != 4 {
			return nil, fmt.Errorf("%s is not a key", path)
		}
		private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, pair{parts[2], jose.SignatureAlgorithm(parts[1]), private.(crypto.Signer), path})
	}
	return all, nil
}

// rotate makes a new key, which signs from now on.
func (k keys) rotate(algorithm string) error {
	all, err := k.all()
	if err != nil {
		return err
	}
	var private any
	switch jose.SignatureAlgorithm(algorithm) {
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case jose.RS256, jose.PS256:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("unknown algorithm %q", algorithm)
	}
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	number := 0
	if len(all) > 0 {
		if _, err := fmt.Sscanf(filepath.Base(all[len(all)-1].path), "%d", &number); err != nil {
			return err
		}
	}
	path := filepath.Join(string(k), fmt.Sprintf("%06d.%s.%s.pem", number+1, algorithm, rand.Text()))
	if err := os.WriteFile(path+".tmp", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// retire removes all keys but the one that signs.
func (k keys) retire() error {
	all, err := k.all()
	if err != nil {
		return err
	}
	for _, p := range all[:len(all)-1] {
		if err := os.Remove(p.path); err != nil {
			return err
		}
	}
	return nil
}

func (k keys) handler() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
	mux.HandleFunc("POST /rotate", func(w http.ResponseWriter, r *http.Request) { answer(w, k.rotate(r.FormValue("alg"))) })
	mux.HandleFunc("POST /retire", func(w http.ResponseWriter, _ *http.Request) { answer(w, k.retire()) })
	return mux
}
