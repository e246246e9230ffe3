package keyset

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/invoscope/invoscope/tenancy"
)

// maxBytes bounds a file and what a provider answers.
const maxBytes = 1 << 20

// readPEM reads the file of public keys and certificates.
func readPEM(o Options) ([]tenancy.PublicKey, error) {
	data, _, err := readFile(o.File)
	if err != nil {
		return nil, err
	}
	keys, err := parsePEM(data)
	switch {
	case err != nil:
		return nil, err
	case o.ID != "" && len(keys) > 1:
		return nil, fmt.Errorf("holds %d keys, and id names one", len(keys))
	case o.ID != "":
		keys[0].ID = o.ID
	}
	for i, k := range keys {
		if o.ID == "" {
			keys[i].ID = "" // its thumbprint is no "kid": it is for any
		}
		if !k.Until.IsZero() && !o.Now().Before(k.Until) {
			o.Log.Warn("a certificate has expired; its key is not accepted", "file", o.File, "expired", k.Until)
		}
	}
	return keys, nil
}

// parsePEM returns the keys, whose ids are their thumbprints.
func parsePEM(data []byte) ([]tenancy.PublicKey, error) {
	var keys []tenancy.PublicKey
	var certificates []*x509.Certificate
	blocks := bytes.Count(data, []byte("-----BEGIN "))
	for n := 1; ; n++ {
		block, rest := pem.Decode(data)
		switch {
		case block == nil && n == 1:
			return nil, errors.New("no PEM block in it")
		case block == nil && n <= blocks: // [pem.Decode] passes over what it can't read
			return nil, fmt.Errorf("%d of its %d PEM blocks can't be read", blocks-n+1, blocks)
		case block == nil:
			return keys, noChain(certificates)
		case n > tenancy.MaxKeys:
			return nil, fmt.Errorf("more than %d keys", tenancy.MaxKeys)
		}
		key, certificate, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", n, err)
		}
		made, err := publicKeys("", key, "")
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", n, err)
		}
		if made[0].ID, err = thumbprint(key); err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", n, err)
		}
		if certificate != nil {
			made[0].Until = certificate.NotAfter
			certificates = append(certificates, certificate)
		}
		keys, data = append(keys, made[0]), rest
	}
}

// noChain refuses a certificate together with that of who signed it: an authority signs
// certificates, and its key isn't meant for tokens.
func noChain(certificates []*x509.Certificate) error {
	for _, c := range certificates {
		for _, authority := range certificates {
			if !c.Equal(authority) && c.CheckSignatureFrom(authority) == nil {
				return fmt.Errorf("the certificate of %.100q signed that of %.100q; keep only the one that signs tokens",
					authority.Subject, c.Subject)
			}
		}
	}
	return nil
}

func parseBlock(block *pem.Block) (key any, certificate *x509.Certificate, err error) {
	switch {
	case block.Type == "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case block.Type == "CERTIFICATE":
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	case strings.Contains(block.Type, "PRIVATE KEY"):
		err = errors.New("a private key, which only who signs should have; " +
			"give its public half: openssl pkey -in private.pem -pubout")
	default:
		err = fmt.Errorf("%.40q (want PUBLIC KEY, CERTIFICATE or RSA PUBLIC KEY)", block.Type)
	}
	return key, certificate, err
}

// readSecret reads the file with a secret, as a key for each algorithm it is long enough for.
func readSecret(o Options) ([]tenancy.PublicKey, error) {
	data, mode, err := readFile(o.SecretFile)
	if err != nil {
		return nil, err
	}
	if err := private(o.SecretFile, mode); err != nil {
		return nil, err
	}
	keys, err := publicKeys(o.ID, bytes.TrimRight(data, " \t\r\n"), "")
	if n := len(keys); n > 0 {
		o.Log.Debug("a secret was read", "file", o.SecretFile, "up_to", keys[n-1].Algorithm)
	}
	return keys, err
}

// private refuses a file with a secret that everybody may read, or others may write.
// The group may read it: that is how Kubernetes gives a secret to who isn't root.
func private(path string, mode fs.FileMode) error {
	if mode.Perm()&0o027 == 0 {
		return nil
	}
	return fmt.Errorf("other users can access this secret (mode %#o); run: chmod g-w,o= %s (in Kubernetes, defaultMode: 0440)",
		mode.Perm(), path)
}

func readFile(path string) ([]byte, fs.FileMode, error) {
	// Before it is opened: that would wait for who writes to a pipe.
	if info, err := os.Stat(path); err != nil {
		return nil, 0, pathless(err)
	} else if !info.Mode().IsRegular() {
		return nil, 0, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, pathless(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, pathless(err)
	}
	data, err := readAll(f)
	return data, info.Mode(), pathless(err)
}

// readAll reads at most 1 MiB.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err == nil && len(data) > maxBytes {
		return nil, errors.New("larger than 1 MiB")
	}
	return data, err
}

// pathless leaves the path out of an error: who reports it says it already.
func pathless(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
