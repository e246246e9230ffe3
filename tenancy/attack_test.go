package tenancy

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// signed returns a properly signed token whose claims a test changed.
func signed(tb testing.TB, key *Key, now func() time.Time, change func(*claims)) string {
	tb.Helper()
	c := goodClaims(now())
	change(&c)
	token, err := NewSigner(key, now).sign(c)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func goodClaims(now time.Time) claims {
	return claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuerName,
			Audience:  jwt.ClaimStrings{issuerName},
			ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
		},
		Tenant: "acme",
		Scope:  "logs:read admin",
	}
}

// forged returns a token with the right claims and kid, signed otherwise.
func forged(tb testing.TB, method jwt.SigningMethod, kid any, secret any, now time.Time) string {
	tb.Helper()
	t := jwt.NewWithClaims(method, goodClaims(now))
	if kid != nil {
		t.Header["kid"] = kid
	}
	token, err := t.SignedString(secret)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func TestAttacks(t *testing.T) {
	key, elsewhere, c := openTestKey(t), openTestKey(t), newClock()
	now := c.now()
	good := signed(t, key, c.now, func(*claims) {})
	parts := strings.Split(good, ".")
	public := key.Public().Key.(ed25519.PublicKey)
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	header := func(json string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(json)) + "." + parts[1] + "." + parts[2]
	}
	change := func(f func(*claims)) string { return signed(t, key, c.now, f) }

	tests := map[string]struct {
		token string
		want  Reason
	}{
		"empty":                           {"", Missing},
		"junk":                            {"junk", Malformed},
		"dots only":                       {"..", Malformed},
		"1 MB of letters":                 {strings.Repeat("A", 1<<20), Malformed},
		"1 MB of dots":                    {strings.Repeat(".", 1<<20), Malformed},
		"1 MB after a good token":         {good + strings.Repeat("A", 1<<20), Malformed},
		"alg none":                        {forged(t, jwt.SigningMethodNone, key.id, jwt.UnsafeAllowNoneSignatureType, now), BadSignature},
		"alg none, signature cut off":     {header(`{"alg":"none","kid":"` + key.id + `"}`)[:len(header(`{"alg":"none","kid":"`+key.id+`"}`))-len(parts[2])], BadSignature},
		"alg None":                        {header(`{"alg":"None","kid":"` + key.id + `"}`), BadSignature},
		"alg missing":                     {header(`{"kid":"` + key.id + `"}`), BadSignature},
		"alg a number":                    {header(`{"alg":1,"kid":"` + key.id + `"}`), BadSignature},
		"HS256 with the public key":       {forged(t, jwt.SigningMethodHS256, key.id, []byte(public), now), BadSignature},
		"HS256 with the public key's PEM": {forged(t, jwt.SigningMethodHS256, key.id, publicPEM, now), BadSignature},
		"HS256 with an empty secret":      {forged(t, jwt.SigningMethodHS256, key.id, []byte{}, now), BadSignature},
		"wrong key under our kid":         {forged(t, jwt.SigningMethodEdDSA, key.id, stranger, now), BadSignature},
		"our key without kid":             {forged(t, jwt.SigningMethodEdDSA, nil, key.private, now), BadSignature},
		"our key under another kid":       {forged(t, jwt.SigningMethodEdDSA, elsewhere.id, key.private, now), BadSignature},
		"kid of another type":             {forged(t, jwt.SigningMethodEdDSA, []string{key.id}, key.private, now), BadSignature},
		"kid a path":                      {forged(t, jwt.SigningMethodEdDSA, "../../dev/null", stranger, now), BadSignature},
		"token from another data dir":     {signed(t, elsewhere, c.now, func(*claims) {}), BadSignature},
		"key brought along":               {header(`{"alg":"EdDSA","jwk":{"kty":"OKP"},"jku":"http://127.0.0.1/"}`), BadSignature},
		"payload of another token":        {parts[0] + "." + strings.Split(change(func(c *claims) { c.Tenant = "victim" }), ".")[1] + "." + parts[2], BadSignature},
		"no signature":                    {parts[0] + "." + parts[1] + ".", BadSignature},
		"line break in the signature":     {good[:len(good)-4] + "\n" + good[len(good)-4:], Malformed},
		"line break at the end":           {good + "\n", Malformed},
		"padding at the end":              {good + "==", Malformed},
		"loose last bits":                 {looseLastBits(good), Malformed},
		"four parts":                      {good + ".x", Malformed},
		"expired":                         {change(func(c *claims) { c.ExpiresAt = jwt.NewNumericDate(now.Add(-time.Minute)) }), Expired},
		"never expires":                   {change(func(c *claims) { c.ExpiresAt = nil }), Malformed},
		"not yet valid":                   {change(func(c *claims) { c.NotBefore = jwt.NewNumericDate(now.Add(time.Hour)) }), NotYetValid},
		"wrong issuer":                    {change(func(c *claims) { c.Issuer = "someone" }), WrongIssuer},
		"wrong audience":                  {change(func(c *claims) { c.Audience = jwt.ClaimStrings{"someone"} }), WrongAudience},
		"no audience":                     {change(func(c *claims) { c.Audience = nil }), Malformed},
	}
	for name, tenant := range badTenants() {
		want := BadTenant
		if name == "10 KB" {
			want = Malformed // longer than a token may be
		}
		tests["tenant "+name] = struct {
			token string
			want  Reason
		}{change(func(c *claims) { c.Tenant = tenant }), want}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := NewVerifier(key.Public(), c.now)
			// The good token is in the cache: near misses must not hit it.
			if _, err := v.Verify(good); err != nil {
				t.Fatal(err)
			}
			id, err := v.Verify(tt.token)
			wantReason(t, err, tt.want)
			if id.Tenant != "" || id.Scopes != nil {
				t.Errorf("a refused token gave the identity %+v", id)
			}
			if len(err.Error()) > 500 || len(tt.token) > 100 && strings.Contains(err.Error(), tt.token) {
				t.Errorf("the error is too long or holds the token: %.600s", err)
			}
		})
	}
}

// looseLastBits changes the bits of a token's last character that decode to
// nothing: the same signature, spelled differently.
func looseLastBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

// FuzzVerify looks for a panic, and for any text but the token itself that is
// accepted.
func FuzzVerify(f *testing.F) {
	key, c := openTestKey(f), newClock()
	good := signed(f, key, c.now, func(*claims) {})
	v := NewVerifier(key.Public(), c.now)
	f.Add(good)
	f.Add(good + "=")
	f.Add(good + "\n")
	f.Add(looseLastBits(good))
	f.Add(forged(f, jwt.SigningMethodHS256, key.id, []byte(key.Public().Key.(ed25519.PublicKey)), c.now()))
	f.Add(forged(f, jwt.SigningMethodNone, key.id, jwt.UnsafeAllowNoneSignatureType, c.now()))
	f.Add("")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		id, err := v.Verify(token)
		if err == nil && token != good {
			t.Fatalf("accepted %q as %+v", token, id)
		}
		if err != nil && ReasonOf(err) == "" {
			t.Fatalf("an error without a reason: %v", err)
		}
		if name := UnverifiedTenant(token); name != "" && ValidTenant(name) != nil {
			t.Fatalf("UnverifiedTenant gave %q", name)
		}
	})
}
