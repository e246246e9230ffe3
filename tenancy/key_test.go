package tenancy

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func TestParseKeyReadsWhatItWrote(t *testing.T) {
	key := openTestKey(t)
	der, err := key.MarshalPKCS8()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKey(der)
	if err != nil {
		t.Fatal(err)
	}
	if !again.private.Equal(key.private) || again.id != key.id {
		t.Error("another key came back")
	}
	if public := NewPublicKey(key.Public().Key.(ed25519.PublicKey)); public.ID != key.id {
		t.Errorf("the public half has the id %s, want %s", public.ID, key.id)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		der  []byte
		want string
	}{
		"nothing":           {nil, "not a PKCS#8"},
		"garbage":           {[]byte("garbage"), "not a PKCS#8"},
		"another algorithm": {ec, "want an Ed25519 key"},
	} {
		if _, err := ParseKey(tt.der); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error = %v, want one with %q", name, err, tt.want)
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
