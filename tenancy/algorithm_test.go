package tenancy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const otherIssuer = "https://id.example.com/"

// pair is a key that signs and the one that verifies.
type pair struct{ private, public any }

// testKeys returns a key for each algorithm. RSA keys take long to make: one will do.
func testKeys(tb testing.TB) map[string]pair {
	tb.Helper()
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	keys := map[string]pair{}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	keys["EdDSA"] = pair{private, public}
	for name, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(err)
		keys[name] = pair{key, &key.PublicKey}
	}
	rsaKey, err := testRSA()
	must(err)
	for _, name := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		keys[name] = pair{rsaKey, &rsaKey.PublicKey}
	}
	for _, name := range []string{"HS256", "HS384", "HS512"} {
		secret := []byte(rand.Text() + rand.Text())
		keys[name] = pair{secret, secret}
	}
	return keys
}

var testRSA = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func payloadFor(now time.Time, more string) string {
	return fmt.Sprintf(`{"iss":%q,"aud":"invoscope","sub":"me","jti":"1","iat":%d,"exp":%d%s}`,
		otherIssuer, now.Unix(), now.Add(time.Hour).Unix(), more)
}

// issuerOf accepts what key signs by algorithm.
func issuerOf(key PublicKey, algorithms ...string) Issuer {
	return Issuer{
		Name: otherIssuer, Audiences: []string{"other", "invoscope"}, Algorithms: algorithms,
		Keys:   []KeySet{&keySet{keys: []PublicKey{key}}},
		Claims: ClaimNames{Tenant: "tenant", Tenants: "tenants", Scope: "scope", Roles: "/realm_access/roles"},
	}
}

func TestEveryAlgorithm(t *testing.T) {
	keys, c := testKeys(t), newClock()
	if len(keys) != len(Algorithms()) {
		t.Fatalf("keys for %d algorithms, want %d", len(keys), len(Algorithms()))
	}
	for _, signs := range Algorithms() {
		token := mint(t, signs, keys[signs].private, `{"typ":"at+jwt","alg":"`+signs+`"}`, payloadFor(c.now(), `,"tenant":"acme"`))
		for _, allowed := range Algorithms() {
			a := NewAuthenticator(Policy{Issuers: []Issuer{issuerOf(PublicKey{Key: keys[signs].public}, allowed)}}, c.now)
			_, err := a.Authenticate(bearer(token))
			if allowed == signs {
				wantReason(t, err, "")
			} else if ReasonOf(err) != BadSignature {
				t.Errorf("%s where only %s is allowed: %v", signs, allowed, err)
			}
		}
		// Allowed by the issuer, but not by the key.
		others := slices.DeleteFunc(Algorithms(), func(s string) bool { return s == signs })
		for _, other := range others {
			a := NewAuthenticator(Policy{Issuers: []Issuer{issuerOf(PublicKey{Key: keys[signs].public, Algorithm: other}, Algorithms()...)}}, c.now)
			_, err := a.Authenticate(bearer(token))
			wantReason(t, err, BadSignature)
		}
		// The header says another algorithm than signed.
		for _, other := range others {
			forged := mint(t, signs, keys[signs].private, `{"alg":"`+other+`"}`, payloadFor(c.now(), `,"tenant":"acme"`))
			a := NewAuthenticator(Policy{Issuers: []Issuer{issuerOf(PublicKey{Key: keys[signs].public}, Algorithms()...)}}, c.now)
			_, err := a.Authenticate(bearer(forged))
			wantReason(t, err, BadSignature)
		}
	}
}

// An RSA or other public key, which everybody may know, must not serve as a secret, in
// any form in which somebody may have it.
func TestPublicKeyAsHMACSecret(t *testing.T) {
	keys, c := testKeys(t), newClock()
	for _, algorithm := range []string{"RS256", "PS512", "ES256", "EdDSA"} {
		der, err := x509.MarshalPKIXPublicKey(keys[algorithm].public)
		if err != nil {
			t.Fatal(err)
		}
		secrets := map[string][]byte{"PKIX": der, "PEM": pemOf(der), "PEM without line break": []byte(strings.TrimSpace(string(pemOf(der))))}
		if key, ok := keys[algorithm].public.(*rsa.PublicKey); ok {
			secrets["PKCS#1"] = x509.MarshalPKCS1PublicKey(key)
			secrets["modulus"] = key.N.Bytes()
		}
		if key, ok := keys[algorithm].public.(ed25519.PublicKey); ok {
			secrets["raw"] = key
		}
		a := NewAuthenticator(Policy{Issuers: []Issuer{issuerOf(PublicKey{ID: "k", Key: keys[algorithm].public}, Algorithms()...)}}, c.now)
		for form, secret := range secrets {
			for _, hs := range []string{"HS256", "HS384", "HS512"} {
				token := mint(t, hs, secret, `{"alg":"`+hs+`","kid":"k"}`, payloadFor(c.now(), `,"tenant":"acme"`))
				if _, err := a.Authenticate(bearer(token)); ReasonOf(err) != BadSignature {
					t.Errorf("%s with the %s key's %s as secret: %v", hs, algorithm, form, err)
				}
			}
		}
	}
}

func TestUnusableKeys(t *testing.T) {
	keys, c := testKeys(t), newClock()
	// Too short to make with crypto/rsa, so it signs nothing; usable must not get that far.
	short := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	tests := map[string]struct {
		key       any
		algorithm string
	}{
		"no key":                {nil, "EdDSA"},
		"secret of 31 bytes":    {make([]byte, 31), "HS256"},
		"empty secret":          {[]byte{}, "HS512"},
		"RSA of 1024 bits":      {short, "RS256"},
		"RSA nil":               {(*rsa.PublicKey)(nil), "RS256"},
		"RSA empty":             {&rsa.PublicKey{}, "PS256"},
		"ECDSA nil":             {(*ecdsa.PublicKey)(nil), "ES256"},
		"ECDSA empty":           {&ecdsa.PublicKey{}, "ES256"},
		"ECDSA of P-384":        {keys["ES384"].public, "ES256"},
		"ECDSA of P-224":        {&ecdsa.PublicKey{Curve: elliptic.P224()}, "ES256"},
		"Ed25519 cut off":       {ed25519.PublicKey{1, 2, 3}, "EdDSA"},
		"Ed25519 private":       {keys["EdDSA"].private, "EdDSA"},
		"RSA private":           {keys["RS256"].private, "RS256"},
		"secret as text":        {string(make([]byte, 64)), "HS256"},
		"RSA by value":          {*keys["RS256"].public.(*rsa.PublicKey), "RS256"},
		"none":                  {jwt.UnsafeAllowNoneSignatureType, "none"},
		"none with a secret":    {make([]byte, 64), "none"},
		"unknown algorithm":     {make([]byte, 64), "HS1"},
		"Ed25519 for ECDSA":     {keys["EdDSA"].public, "ES256"},
		"secret for asymmetric": {make([]byte, 64), "RS256"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if (PublicKey{Key: tt.key}).usable(tt.algorithm) {
				t.Error("usable")
			}
			a := NewAuthenticator(Policy{Issuers: []Issuer{issuerOf(PublicKey{Key: tt.key}, append(Algorithms(), "none")...)}}, c.now)
			encode := base64.RawURLEncoding.EncodeToString
			token := encode([]byte(`{"alg":"`+tt.algorithm+`"}`)) + "." + encode([]byte(payloadFor(c.now(), `,"tenant":"acme"`))) + "."
			_, err := a.Authenticate(bearer(token))
			wantReason(t, err, BadSignature)
		})
	}
}

// vectors are signatures that others made.
var vectors = map[string]struct{ jwk, token string }{
	// RFC 7515, appendix A.1.
	"HS256": {
		`{"k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}`,
		"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." +
			"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
			"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
	},
	// RFC 7515, appendix A.2.
	"RS256": {
		`{"n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}`,
		"eyJhbGciOiJSUzI1NiJ9." +
			"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
			"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
	},
	// RFC 7515, appendix A.3.
	"ES256": {
		`{"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
		"eyJhbGciOiJFUzI1NiJ9." +
			"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
			"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
	},
}

// The tokens of RFC 7515 are of an issuer "joe" and have no audience, so that they get as
// far as that: their signatures are right.
func TestVectors(t *testing.T) {
	before := func() time.Time { return time.Unix(1300819380-60, 0) }
	for algorithm, vector := range vectors {
		issuer := issuerOf(PublicKey{Key: fromJWK(t, algorithm, vector.jwk)}, algorithm)
		issuer.Name = "joe"
		a := NewAuthenticator(Policy{Issuers: []Issuer{issuer}}, before)
		_, err := a.Authenticate(bearer(vector.token))
		if ReasonOf(err) != Malformed || !strings.Contains(err.Error(), "aud") {
			t.Errorf("%s: %v, want it to miss an audience only", algorithm, err)
		}
		flipped := vector.token[:len(vector.token)-10] + "A" + vector.token[len(vector.token)-9:]
		_, err = a.Authenticate(bearer(flipped))
		wantReason(t, err, BadSignature)
	}
}

// RFC 8037, appendix A.4: its payload is no JSON, so only the signature is looked at.
func TestVectorEd25519(t *testing.T) {
	public := decodeRaw(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	signed, signature := "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
		decodeRaw(t, "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
	i := newIssuer(issuerOf(PublicKey{Key: ed25519.PublicKey(public)}, "EdDSA"), time.Now)
	token := &unverified{algorithm: "EdDSA", signed: signed, signature: signature}
	if _, err := i.verifySignature(token, &verified{}, time.Now()); err != nil {
		t.Error(err)
	}
	token.signed += "x"
	_, err := i.verifySignature(token, &verified{}, time.Now())
	wantReason(t, err, BadSignature)
}

// testdata/node.json has a token for each algorithm that Node.js 20 made, which has its
// cryptography from OpenSSL, with a key in DER, or a secret.
func TestTokensOfOpenSSL(t *testing.T) {
	data, err := os.ReadFile("testdata/node.json")
	if err != nil {
		t.Fatal(err)
	}
	var tokens []struct {
		Algorithm, Token string
		Key              []byte
	}
	if err := json.Unmarshal(data, &tokens); err != nil {
		t.Fatal(err)
	}
	if len(tokens) != len(Algorithms()) {
		t.Errorf("%d tokens, want one for each algorithm", len(tokens))
	}
	for _, one := range tokens {
		var key any = one.Key
		if one.Algorithm[0] != 'H' {
			if key, err = x509.ParsePKIXPublicKey(one.Key); err != nil {
				t.Fatal(err)
			}
		}
		a := NewAuthenticator(Policy{Issuers: []Issuer{issuerOf(PublicKey{Key: key}, one.Algorithm)}}, newClock().now)
		id, err := a.Authenticate(bearer(one.Token))
		if err != nil || id.Subject != one.Algorithm || id.Tenant != "acme" {
			t.Errorf("%s: %+v, %v", one.Algorithm, id, err)
		}
	}
}

func fromJWK(t *testing.T, algorithm, text string) crypto.PublicKey {
	t.Helper()
	var jwk map[string]string
	if err := json.Unmarshal([]byte(text), &jwk); err != nil {
		t.Fatal(err)
	}
	number := func(name string) *big.Int { return new(big.Int).SetBytes(decodeRaw(t, jwk[name])) }
	switch algorithm[0] {
	case 'H':
		return decodeRaw(t, jwk["k"])
	case 'R':
		return &rsa.PublicKey{N: number("n"), E: int(number("e").Int64())}
	}
	point := slices.Concat([]byte{4}, decodeRaw(t, jwk["x"]), decodeRaw(t, jwk["y"]))
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
