package store

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// The PEM headers of key files. Dates are RFC 3339 in UTC.
const (
	createdHeader = "Created"
	untilHeader   = "Valid-Until"
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
	block := pem.Block{Type: privateType, Headers: map[string]string{}, Bytes: der}
	setTime(block.Headers, createdHeader, k.created)
	return pem.EncodeToMemory(&block), nil
}

func parseSigning(data []byte) (k signing, err error) {
	block, err := onlyBlock(data, privateType)
	if err != nil {
		return k, err
	}
	if k.created, err = timeOf(block.Headers, createdHeader); err != nil {
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
	block := pem.Block{Type: publicType, Headers: map[string]string{}, Bytes: der}
	setTime(block.Headers, createdHeader, k.created)
	setTime(block.Headers, untilHeader, k.key.Until)
	return pem.EncodeToMemory(&block), nil
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
	if k.created, err = timeOf(block.Headers, createdHeader); err != nil {
		return k, err
	}
	if k.key.Until, err = timeOf(block.Headers, untilHeader); err == nil && k.key.Until.IsZero() {
		err = errors.New("has no PEM header " + untilHeader)
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

func setTime(headers map[string]string, name string, t time.Time) {
	if !t.IsZero() {
		headers[name] = t.UTC().Format(time.RFC3339)
	}
}

// timeOf returns the zero time if there is no such header.
func timeOf(headers map[string]string, name string) (time.Time, error) {
	value, ok := headers[name]
	if !ok {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, fmt.Errorf("PEM header %s is no RFC 3339 date", name)
	}
	return t, nil
}
