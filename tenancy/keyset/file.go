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
	"time"

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
	for _, k := range keys {
		if !k.Until.IsZero() && !o.Now().Before(k.Until) {
			o.Log.Warn("a certificate has expired; its key is not accepted", "file", o.File, "expired", k.Until)
		}
	}
	return keys, nil
}

// parsePEM returns the keys, whose ids are their thumbprints.
func parsePEM(data []byte) ([]tenancy.PublicKey, error) {
	var keys []tenancy.PublicKey
	blocks := bytes.Count(data, []byte("-----BEGIN "))
	for n := 1; ; n++ {
		block, rest := pem.Decode(data)
		switch {
		case block == nil && n == 1:
			return nil, errors.New("no PEM block in it")
		case block == nil && n <= blocks: // [pem.Decode] passes over what it can't read
			return nil, fmt.Errorf("%d of its %d PEM blocks can't be read", blocks-n+1, blocks)
		case block == nil:
			return keys, nil
		case n > maxTried:
			return nil, fmt.Errorf("more than %d keys", maxTried)
		}
		key, until, err := parseBlock(block)
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
		made[0].Until = until
		keys, data = append(keys, made[0]), rest
	}
}

func parseBlock(block *pem.Block) (key any, until time.Time, err error) {
	switch {
	case block.Type == "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case block.Type == "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			key, until = c.PublicKey, c.NotAfter
		}
	case strings.Contains(block.Type, "PRIVATE KEY"):
		err = errors.New("a private key, which only who signs should have; " +
			"give its public half: openssl pkey -in private.pem -pubout")
	default:
		err = fmt.Errorf("%.40q (want PUBLIC KEY, CERTIFICATE or RSA PUBLIC KEY)", block.Type)
	}
	return key, until, err
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
	return publicKeys(o.ID, bytes.TrimRight(data, " \t\r\n"), "")
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
