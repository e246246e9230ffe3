package store

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// The dates of a key are lines before its PEM block, such as "Created: 2026-11-23T12:00:00Z"
// (RFC 3339, in UTC). They aren't headers within the block: RFC 7468, section 2, has none,
// and OpenSSL doesn't read a key that has.
const (
	createdLine = "Created"
	untilLine   = "Valid-Until"
)

const (
	privateType = "PRIVATE KEY"
	publicType  = "PUBLIC KEY"

	// maxKeyFile is what is read of a key file, in bytes: keys have some 200.
	maxKeyFile = 16 << 10
)

// signing is the key that signs, as it is kept.
type signing struct {
	key     *tenancy.Key
	created time.Time // zero if the file, of an earlier version, doesn't say
}

func (k signing) encode() ([]byte, error) {
	der, err := k.key.MarshalPKCS8()
	if err != nil {
		return nil, err
	}
	return append(dateLine(createdLine, k.created), pem.EncodeToMemory(&pem.Block{Type: privateType, Bytes: der})...), nil
}

func parseSigning(data []byte) (k signing, err error) {
	block, err := onlyBlock(data, privateType)
	if err != nil {
		return k, err
	}
	if k.created, err = dateOf(data, createdLine); err != nil {
		return k, err
	}
	k.key, err = tenancy.ParseKey(block.Bytes)
	return k, err
}

// retired is the public half of a key that signed, as it is kept.
type retired struct {
	key     tenancy.PublicKey // with Until
	created time.Time
}

func (k retired) encode() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.key.Key)
	if err != nil {
		return nil, err
	}
	return slices.Concat(dateLine(createdLine, k.created), dateLine(untilLine, k.key.Until),
		pem.EncodeToMemory(&pem.Block{Type: publicType, Bytes: der})), nil
}

func parseRetired(data []byte) (k retired, err error) {
	block, err := onlyBlock(data, publicType)
	if err != nil {
		return k, err
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return k, errors.New("not a public key")
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return k, fmt.Errorf("holds a %T, want an Ed25519 key", parsed)
	}
	k.key = tenancy.NewPublicKey(public)
	if k.created, err = dateOf(data, createdLine); err != nil {
		return k, err
	}
	if k.key.Until, err = dateOf(data, untilLine); err == nil && k.key.Until.IsZero() {
		err = errors.New("has no line " + untilLine)
	}
	return k, err
}

func onlyBlock(data []byte, want string) (*pem.Block, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != want {
		return nil, fmt.Errorf("no PEM block %q", want)
	}
	return block, nil
}

// dateLine returns nothing for a date that isn't known.
func dateLine(name string, t time.Time) []byte {
	if t.IsZero() {
		return nil
	}
	return []byte(name + ": " + t.UTC().Format(time.RFC3339) + "\n")
}

// dateOf returns the date of the line with this name before the PEM block; the zero time
// if there is none.
func dateOf(data []byte, name string) (time.Time, error) {
	before, _, _ := strings.Cut(string(data), "-----BEGIN ")
	for line := range strings.Lines(before) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != name {
			continue
		}
		t, err := time.Parse(time.RFC3339, strings.TrimSpace(value))
		if err != nil {
			return time.Time{}, fmt.Errorf("the line %s has no RFC 3339 date", name)
		}
		return t, nil
	}
	return time.Time{}, nil
}
