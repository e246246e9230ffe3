package keyset

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/invoscope/invoscope/tenancy"
)

func TestJWKSFileOfEachAlgorithm(t *testing.T) {
	for _, alg := range asymmetric() {
		t.Run(alg, func(t *testing.T) {
			p, q := newPair(t, alg), newPair(t, alg)
			s := open(t, Options{JWKSFile: write(t, []byte(jwks(t, p.jwk(t, "p", jwk{"alg": alg, "use": "sig"}), q.jwk(t, "q", nil)))), Tenant: "acme"})
			accepted(t, s, p.token(t, "p"))
			accepted(t, s, q.token(t, "q"))
			accepted(t, s, q.token(t, ""))
			refused(t, s, p.token(t, "q"))
			refused(t, s, p.token(t, "r"))
			if key, _ := verify(s, p.token(t, "p")); key.Algorithm != alg || key.Tenant != "acme" || key.ID != "p" {
				t.Errorf("%+v; want the set's alg and kid, and the tenant", key)
			}
		})
	}
}

// An elliptic key is for the algorithm of its curve alone, and so is one of Ed25519.
func TestAlgorithmOfAKeyThatNamesNone(t *testing.T) {
	for alg, want := range map[string]string{"ES256": "ES256", "ES384": "ES384", "ES512": "ES512", "EdDSA": "EdDSA", "RS256": "", "PS512": ""} {
		keys, err := publicKeys("", newPair(t, alg).key.Public(), "")
		if err != nil || len(keys) != 1 || keys[0].Algorithm != want {
			t.Errorf("%s: %+v (%v), want algorithm %q", alg, keys, err, want)
		}
	}
	keys, err := publicKeys("", newPair(t, "EdDSA").key.Public(), "Ed25519")
	if err != nil || keys[0].Algorithm != "EdDSA" {
		t.Errorf("Ed25519: %+v (%v), want EdDSA", keys, err)
	}
}

func TestKeysThatAreSkipped(t *testing.T) {
	good, p := newPair(t, "ES256"), newPair(t, "RS256")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		key  jwk
		want string
	}{
		"encryption":           {p.jwk(t, "k", jwk{"use": "enc"}), `use is "enc"`},
		"unknown use":          {p.jwk(t, "k", jwk{"use": "x"}), `use is "x"`},
		"key_ops":              {p.jwk(t, "k", jwk{"key_ops": []string{"encrypt"}}), "key_ops"},
		"secret":               {jwk{"kty": "oct", "kid": "k", "k": strings.Repeat("A", 43)}, "never taken from a URL"},
		"private":              {jwkOf(t, p.key, "k", nil), "private key"},
		"private, ECDSA":       {jwkOf(t, good.key, "k", nil), "private key"},
		"private, Ed25519":     {jwkOf(t, newPair(t, "EdDSA").key, "k", nil), "private key"},
		"alg none":             {p.jwk(t, "k", jwk{"alg": "none"}), `not for signatures with "none"`},
		"alg of a secret":      {p.jwk(t, "k", jwk{"alg": "HS256"}), `not for signatures with "HS256"`},
		"alg of another type":  {p.jwk(t, "k", jwk{"alg": "ES256"}), `not for signatures with "ES256"`},
		"alg of another curve": {good.jwk(t, "k", jwk{"alg": "ES384"}), `not for signatures with "ES384"`},
		"alg for encryption":   {p.jwk(t, "k", jwk{"alg": "RSA-OAEP"}), `not for signatures with "RSA-OAEP"`},
		"1024 bits":            {jwkOf(t, weak.Public(), "k", nil), "1024 bits"},
		"secp256k1":            {good.jwk(t, "k", jwk{"crv": "secp256k1"}), `curve "secp256k1"`},
		"other curve":          {good.jwk(t, "k", jwk{"crv": "P-384"}), "not on the specified curve"},
		"X25519":               {jwkOf(t, x25519.PublicKey(), "k", nil), `curve "X25519"`},
		"unknown type":         {jwk{"kty": strings.Repeat("x", 999)}, `unknown type "xxxxxxxxxxxxxxxxxxxx"`},
		"nothing":              {jwk{}, `unknown type ""`},
		"no modulus":           {p.jwk(t, "k", jwk{"n": ""}), `parameters "n" and "e"`},
		"not base64":           {p.jwk(t, "k", jwk{"n": "!"}), "illegal base64"},
		"exponent of 1":        {p.jwk(t, "k", jwk{"e": "AQ"}), `"e" is out of range`},
		"exponent of 2^64+3":   {p.jwk(t, "k", jwk{"e": "AQAAAAAAAAAD"}), "E in marshal does not match"},
		"wrong types":          {jwk{"kty": 1}, "not a JSON Web Key"},
		"long kid":             {p.jwk(t, strings.Repeat("k", maxID+1), nil), "kid is longer"},
	} {
		t.Run(name, func(t *testing.T) {
			keys, skipped, err := parseJWKS([]byte(jwks(t, tc.key, good.jwk(t, "good", nil))), false)
			if err != nil || len(keys) != 1 || keys[0].ID != "good" {
				t.Fatalf("%d keys (%v), want the good one", len(keys), err)
			}
			if len(skipped) != 1 || !strings.Contains(skipped[0], tc.want) || len(skipped[0]) > 300 {
				t.Errorf("skipped %q, want %q", skipped, tc.want)
			}
			if _, _, err := parseJWKS([]byte(jwks(t, tc.key)), false); err == nil || !strings.Contains(err.Error(), "no usable key among 1") {
				t.Errorf("alone: error %v", err)
			}
		})
	}
}

// Certificates beside a key, good or not, change nothing, and no URL in it is fetched.
func TestCertificatesBesideAKeyAreNotLookedAt(t *testing.T) {
	p := newPair(t, "EdDSA")
	keys, skipped, err := parseJWKS([]byte(jwks(t, p.jwk(t, "p", jwk{
		"x5c": []string{"rubbish"}, "x5t": "!", "x5u": "http://127.0.0.1:1/", "key_ops": []string{"verify"},
	}))), false)
	if err != nil || len(keys) != 1 || skipped != nil {
		t.Errorf("%d keys, skipped %q, error %v", len(keys), skipped, err)
	}
}

func TestJWKSRefused(t *testing.T) {
	p := newPair(t, "EdDSA")
	var many, alike []jwk
	for n := range maxKeys + 1 {
		many = append(many, p.jwk(t, fmt.Sprint(n), nil))
	}
	for range tenancy.MaxKeys + 1 {
		alike = append(alike, p.jwk(t, "same", nil))
	}
	for name, tc := range map[string]struct{ content, want string }{
		"empty":         {"", "not a JSON Web Key Set"},
		"HTML":          {"<html>", "not a JSON Web Key Set"},
		"other JSON":    {"[]", "not a JSON Web Key Set"},
		"null":          {"null", "no usable key among 0"},
		"no keys":       {"{}", "no usable key among 0"},
		"empty set":     {`{"keys":[]}`, "no usable key among 0"},
		"keys no array": {`{"keys":{"kty":"RSA"}}`, "not a JSON Web Key Set"},
		"cut off":       {jwks(t, p.jwk(t, "p", nil))[:50], "not a JSON Web Key Set"},
		"something on":  {jwks(t, p.jwk(t, "p", nil)) + "{}", "not a JSON Web Key Set"},
		"too many":      {jwks(t, many...), "101 keys (want at most 100)"},
		"one kid":       {jwks(t, alike...), "more than 8 keys with one kid"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := parseJWKS([]byte(tc.content), false); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			o, _ := logged(Options{JWKSFile: write(t, []byte(tc.content))})
			if _, err := Open(o); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("in a file: error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestKeysThatShareAKid(t *testing.T) {
	a, b, c := newPair(t, "RS256"), newPair(t, "ES256"), newPair(t, "ES256")
	s := open(t, Options{JWKSFile: write(t, []byte(jwks(t, a.jwk(t, "x", nil), b.jwk(t, "x", nil), c.jwk(t, "", nil))))})
	accepted(t, s, a.token(t, "x"))
	accepted(t, s, b.token(t, "x"))
	refused(t, s, c.token(t, "x"))
	accepted(t, s, c.token(t, "y")) // may be of the key that has no kid
	accepted(t, s, c.token(t, ""))
	refused(t, s, a.token(t, "y"))
}

// A token that names no key costs at most [tenancy.MaxKeys] signatures.
func TestTokenWithoutAKidAndManyKeys(t *testing.T) {
	p := newPair(t, "EdDSA")
	keys := []jwk{p.jwk(t, "last", nil)}
	for n := range tenancy.MaxKeys {
		keys = append(keys, newPair(t, "EdDSA").jwk(t, fmt.Sprint(n), nil))
	}
	s := open(t, Options{JWKSFile: write(t, []byte(jwks(t, keys[:tenancy.MaxKeys]...)))})
	accepted(t, s, p.token(t, ""))
	s = open(t, Options{JWKSFile: write(t, []byte(jwks(t, keys...)))})
	refused(t, s, p.token(t, ""))
	accepted(t, s, p.token(t, "last"))
}

func TestSecretsInAJWKSFile(t *testing.T) {
	secret := bytes.Repeat([]byte("s"), 32)
	content := []byte(jwks(t, jwk{"kty": "oct", "kid": "s", "k": base64.RawURLEncoding.EncodeToString(secret)}))
	path := write(t, content)
	s := open(t, Options{JWKSFile: path})
	token := jwt.New(jwt.SigningMethodHS256)
	token.Header["kid"] = "s"
	text, err := token.SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	accepted(t, s, text)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	o, _ := logged(Options{JWKSFile: path})
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("readable by all: error %v", err)
	}
	o.JWKSFile = write(t, []byte(jwks(t, jwk{"kty": "oct", "k": "c2hvcnQ"})))
	if _, err := Open(o); err == nil {
		t.Error("a secret of 5 bytes is accepted")
	}
}

func TestPrivateKeyInAJWKSFile(t *testing.T) {
	p := newPair(t, "EdDSA")
	o, _ := logged(Options{JWKSFile: write(t, []byte(jwks(t, p.jwk(t, "a", nil), jwkOf(t, p.key, "b", nil))))})
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "key 2: a private key") {
		t.Errorf("error %v", err)
	}
}

func TestSkippedKeysOfAFileAreLogged(t *testing.T) {
	p := newPair(t, "EdDSA")
	keys := []jwk{p.jwk(t, "a", nil)}
	for range maxTold + 3 {
		keys = append(keys, p.jwk(t, "b", jwk{"use": "enc"}))
	}
	o, log := logged(Options{JWKSFile: write(t, []byte(jwks(t, keys...)))})
	if _, err := Open(o); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); strings.Count(got, "use is") != maxTold || !strings.Contains(got, "and 3 more") {
		t.Errorf("logged %q", got)
	}
}

func TestSame(t *testing.T) {
	key, other := newPair(t, "ES256").key.Public(), newPair(t, "ES256").key.Public()
	one := tenancy.PublicKey{ID: "a", Algorithm: "ES256", Key: key, Tenant: "acme"}
	with := func(change func(*tenancy.PublicKey)) tenancy.PublicKey {
		k := one
		change(&k)
		return k
	}
	for name, k := range map[string]tenancy.PublicKey{
		"id":        with(func(k *tenancy.PublicKey) { k.ID = "b" }),
		"algorithm": with(func(k *tenancy.PublicKey) { k.Algorithm = "" }),
		"key":       with(func(k *tenancy.PublicKey) { k.Key = other }),
		"type":      with(func(k *tenancy.PublicKey) { k.Key = []byte("secret") }),
		"tenant":    with(func(k *tenancy.PublicKey) { k.Tenant = "globex" }),
		"until":     with(func(k *tenancy.PublicKey) { k.Until = time.Unix(1, 0) }),
	} {
		if same(one, k) || same(k, one) || !same(k, k) {
			t.Errorf("another %s makes no other key", name)
		}
	}
}
