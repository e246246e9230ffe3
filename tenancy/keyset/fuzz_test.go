package keyset

import (
	"bytes"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/invoscope/invoscope/tenancy"
)

// usable checks what holds of every key that is read, from whatever bytes.
func usable(t *testing.T, keys []tenancy.PublicKey, secrets bool) {
	t.Helper()
	if len(keys) == 0 {
		t.Fatal("neither a key nor an error")
	}
	signature := bytes.Repeat([]byte{1}, 256)
	for _, k := range keys {
		names, err := algorithmsOf(k.Key)
		if err != nil {
			t.Fatalf("%T: %v", k.Key, err)
		}
		if _, secret := k.Key.([]byte); secret && !secrets {
			t.Fatal("a secret from a URL")
		}
		if k.Algorithm != "" {
			names = []string{k.Algorithm}
		}
		for _, name := range names {
			method := jwt.GetSigningMethod(name)
			for _, n := range []int{0, 64, 96, 132, 256} {
				if method.Verify("x.y", signature[:n], k.Key) == nil {
					t.Fatalf("%s accepts what nobody signed", name)
				}
			}
		}
		if !same(k, k) {
			t.Fatal("a key isn't the same as itself")
		}
	}
}

func FuzzJWKS(f *testing.F) {
	for _, alg := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		p := newPair(f, alg)
		f.Add([]byte(jwks(f, p.jwk(f, "p", jwk{"alg": alg, "use": "sig"}))))
		f.Add([]byte(jwks(f, jwkOf(f, p.key, "p", nil), p.jwk(f, "", nil))))
	}
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","alg":"HS384"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQ"},null,1,{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range []bool{false, true} {
			keys, skipped, err := parseJWKS(data, file)
			if err != nil {
				if len(err.Error()) > 1000 {
					t.Errorf("an error of %d bytes", len(err.Error()))
				}
				continue
			}
			usable(t, keys, file)
			if len(list(skipped)) > 10_000 {
				t.Errorf("%d bytes about keys that aren't used", len(list(skipped)))
			}
		}
	})
}

func FuzzPEM(f *testing.F) {
	for _, alg := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		f.Add(newPair(f, alg).pem(f))
	}
	a, b := newPair(f, "ES256"), newPair(f, "EdDSA")
	f.Add(append(a.pem(f), b.pem(f)...))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if keys, err := parsePEM(data); err == nil {
			usable(t, keys, false)
			if n := bytes.Count(data, []byte("-----BEGIN ")); n != len(keys) {
				t.Errorf("%d keys of %d blocks", len(keys), n)
			}
		}
	})
}
