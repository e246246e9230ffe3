package tenancy

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"regexp"
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
	publicPEM := pemOf(spki)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	header := func(json string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(json)) + "." + parts[1] + "." + parts[2]
	}
	change := func(f func(*claims)) string { return signed(t, key, c.now, f) }

	raw := func(header, payload string) string { return mint(t, "EdDSA", key.private, header, payload) }
	payload := string(decodeRaw(t, parts[1]))
	claim := func(json string) string { return raw(`{"alg":"EdDSA"}`, payload[:len(payload)-1]+","+json+"}") }
	expPattern := regexp.MustCompile(`"exp":[0-9]+`)

	tests := map[string]struct {
		token string
		want  Reason
	}{
		"empty":                           {"", Missing},
		"junk":                            {"junk", Malformed},
		"dots only":                       {"..", Malformed},
		"1 MB token":                      {strings.Repeat("A", 1<<20), Malformed},
		"1 MB of dots":                    {strings.Repeat(".", 1<<20), Malformed},
		"1 MB after a good token":         {good + strings.Repeat("A", 1<<20), Malformed},
		"alg none":                        {forged(t, jwt.SigningMethodNone, key.id, jwt.UnsafeAllowNoneSignatureType, now), BadSignature},
		"alg none, signature cut off":     {header(`{"alg":"none","kid":"` + key.id + `"}`)[:len(header(`{"alg":"none","kid":"`+key.id+`"}`))-len(parts[2])], BadSignature},
		"alg None":                        {header(`{"alg":"None","kid":"` + key.id + `"}`), BadSignature},
		"alg missing":                     {header(`{"kid":"` + key.id + `"}`), BadSignature},
		"alg a number":                    {header(`{"alg":1,"kid":"` + key.id + `"}`), Malformed},
		"HS256 with the public key":       {forged(t, jwt.SigningMethodHS256, key.id, []byte(public), now), BadSignature},
		"HS256 with the public key's PEM": {forged(t, jwt.SigningMethodHS256, key.id, publicPEM, now), BadSignature},
		"HS256 with an empty secret":      {forged(t, jwt.SigningMethodHS256, key.id, []byte{}, now), BadSignature},
		"wrong key under our kid":         {forged(t, jwt.SigningMethodEdDSA, key.id, stranger, now), BadSignature},
		"our key under another kid":       {forged(t, jwt.SigningMethodEdDSA, elsewhere.id, key.private, now), BadSignature},
		"kid of another type":             {forged(t, jwt.SigningMethodEdDSA, []string{key.id}, key.private, now), Malformed},
		"kid path traversal":              {forged(t, jwt.SigningMethodEdDSA, "../../dev/null", stranger, now), BadSignature},
		"kid path traversal, empty key":   {forged(t, jwt.SigningMethodHS256, "../../../../dev/null", []byte{}, now), BadSignature},
		"kid with SQL":                    {forged(t, jwt.SigningMethodEdDSA, "x' UNION SELECT '", stranger, now), BadSignature},
		"kid of 10 KB":                    {forged(t, jwt.SigningMethodEdDSA, strings.Repeat("k", 10_000), stranger, now), Malformed},
		"token from another data dir":     {signed(t, elsewhere, c.now, func(*claims) {}), BadSignature},
		"key brought along":               {header(`{"alg":"EdDSA","jwk":{"kty":"OKP"},"jku":"http://127.0.0.1/"}`), BadSignature},
		"payload of another token":        {parts[0] + "." + strings.Split(change(func(c *claims) { c.Tenant = "victim" }), ".")[1] + "." + parts[2], BadSignature},
		"no signature":                    {parts[0] + "." + parts[1] + ".", BadSignature},
		"line break in the signature":     {good[:len(good)-4] + "\n" + good[len(good)-4:], Malformed},
		"line break at the end":           {good + "\n", Malformed},
		"padding at the end":              {good + "==", Malformed},
		"loose last bits":                 {looseLastBits(good), Malformed},
		"JSON serialization":              {`{"payload":"` + parts[1] + `"}`, Malformed},
		"encrypted (JWE)":                 {"eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0.." + strings.Repeat("A", 16) + "." + parts[1] + "." + parts[2], Malformed},
		"header not an object":            {header(`"EdDSA"`), Malformed},
		"header null":                     {header(`null`), Malformed},
		"header not JSON":                 {header(`{"alg":"EdDSA"`), Malformed},
		"header and more":                 {header(`{"alg":"EdDSA"}{}`), Malformed},
		"header alg twice":                {raw(`{"alg":"none","alg":"EdDSA","kid":"`+key.id+`"}`, payload), Malformed},
		"header kid twice":                {raw(`{"alg":"EdDSA","kid":"a","kid":"`+key.id+`"}`, payload), Malformed},
		"header alg in capitals":          {raw(`{"ALG":"EdDSA","kid":"`+key.id+`"}`, payload), BadSignature},
		"not UTF-8":                       {raw(`{"alg":"EdDSA"}`, strings.Replace(payload, `{`, `{"sub":"`+"\xff"+`",`, 1)), Malformed},
		"crit":                            {raw(`{"alg":"EdDSA","crit":["exp"],"exp":1}`, payload), Malformed},
		"crit empty":                      {raw(`{"alg":"EdDSA","crit":[]}`, payload), Malformed},
		"crit null":                       {raw(`{"alg":"EdDSA","crit":null}`, payload), Malformed},
		"b64 false":                       {raw(`{"alg":"EdDSA","b64":false}`, payload), Malformed},
		"typ of a logout token":           {raw(`{"alg":"EdDSA","typ":"logout+jwt"}`, payload), Malformed},
		"typ of a refresh token":          {raw(`{"alg":"EdDSA","typ":"Refresh"}`, payload), Malformed},
		"typ of a proof (DPoP)":           {raw(`{"alg":"EdDSA","typ":"dpop+jwt"}`, payload), Malformed},
		"claims an array":                 {raw(`{"alg":"EdDSA"}`, `[`+payload+`]`), Malformed},
		"10,000 claims":                   {raw(`{"alg":"EdDSA"}`, manyClaims(10_000)+payload[1:]), Malformed},
		"tenant twice":                    {claim(`"tenant":"victim"`), BadTenant},
		"tenant twice, escaped":           {claim(`"t\u0065nant":"victim"`), BadTenant},
		"iss twice":                       {claim(`"iss":"someone"`), Malformed},
		"exp twice":                       {claim(`"exp":9999999999`), Malformed},
		"aud twice":                       {claim(`"aud":"someone"`), Malformed},
		"scope twice":                     {claim(`"scope":"admin"`), Malformed},
		"tenants twice":                   {claim(`"tenants":["a"],"tenants":["b"]`), BadTenant},
		"tenants of one bad":              {claim(`"tenants":["acme","a|b"]`), BadTenant},
		"tenants all and one":             {claim(`"tenants":["*","acme"]`), BadTenant},
		"tenants a string":                {claim(`"tenants":"acme victim"`), BadTenant},
		"tenants a number":                {claim(`"tenants":1`), BadTenant},
		"tenants of numbers":              {claim(`"tenants":[1]`), BadTenant},
		"65 tenants":                      {claim(`"tenants":["a"` + strings.Repeat(`,"a"`, 64) + `]`), BadTenant},
		"tenant in capitals":              {raw(`{"alg":"EdDSA"}`, strings.Replace(payload, `"tenant"`, `"Tenant"`, 1)), BadTenant},
		"tenant a number":                 {raw(`{"alg":"EdDSA"}`, strings.Replace(payload, `"acme"`, `1`, 1)), BadTenant},
		"tenant an array":                 {raw(`{"alg":"EdDSA"}`, strings.Replace(payload, `"acme"`, `["acme"]`, 1)), BadTenant},
		"tenant null":                     {raw(`{"alg":"EdDSA"}`, strings.Replace(payload, `"acme"`, `null`, 1)), BadTenant},
		"exp a string":                    {raw(`{"alg":"EdDSA"}`, expPattern.ReplaceAllString(payload, `"exp":"9999999999"`)), Malformed},
		"exp in milliseconds":             {raw(`{"alg":"EdDSA"}`, expPattern.ReplaceAllString(payload, `"exp":1895580000000`)), Malformed},
		"exp beyond numbers":              {raw(`{"alg":"EdDSA"}`, expPattern.ReplaceAllString(payload, `"exp":1e999`)), Malformed},
		"exp negative":                    {raw(`{"alg":"EdDSA"}`, expPattern.ReplaceAllString(payload, `"exp":-1`)), Malformed},
		"exp null":                        {raw(`{"alg":"EdDSA"}`, expPattern.ReplaceAllString(payload, `"exp":null`)), Malformed},
		"issued in the future":            {change(func(c *claims) { c.IssuedAt = jwt.NewNumericDate(now.Add(time.Hour)) }), NotYetValid},
		"subject of 10 KB":                {change(func(c *claims) { c.Subject = strings.Repeat("s", 10_000) }), Malformed},
		"no issuer":                       {change(func(c *claims) { c.Issuer = "" }), WrongIssuer},
		"issuer in capitals":              {change(func(c *claims) { c.Issuer = "INVOSCOPE" }), WrongIssuer},
		"API token":                       {"inv_tok_a_b", BadSignature},
		"four parts":                      {good + ".x", Malformed},
		"expired":                         {change(func(c *claims) { c.ExpiresAt = jwt.NewNumericDate(now.Add(-time.Minute)) }), Expired},
		"never expires":                   {change(func(c *claims) { c.ExpiresAt = nil }), Malformed},
		"not yet valid":                   {change(func(c *claims) { c.NotBefore = jwt.NewNumericDate(now.Add(time.Hour)) }), NotYetValid},
		"wrong issuer":                    {change(func(c *claims) { c.Issuer = "someone" }), WrongIssuer},
		"wrong audience":                  {change(func(c *claims) { c.Audience = jwt.ClaimStrings{"someone"} }), WrongAudience},
		"no audience":                     {change(func(c *claims) { c.Audience = nil }), Malformed},
	}
	for name, tenant := range badTenants() {
		// Not by change, which leaves an empty one out.
		quoted, err := json.Marshal(tenant)
		if err != nil {
			t.Fatal(err)
		}
		tests["tenant "+name] = struct {
			token string
			want  Reason
		}{raw(`{"alg":"EdDSA"}`, strings.Replace(payload, `"acme"`, string(quoted), 1)), BadTenant}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := ownAuthenticator(key, c.now)
			// The good token is in the cache: near misses must not hit it.
			if _, err := a.Authenticate(bearer(good)); err != nil {
				t.Fatal(err)
			}
			id, err := a.Authenticate(bearer(tt.token))
			wantReason(t, err, tt.want)
			sameIdentity(t, Identity{}, id)
			if len(err.Error()) > 500 || len(tt.token) > 100 && strings.Contains(err.Error(), tt.token) {
				t.Errorf("the error is too long or holds the token: %.600s", err)
			}
		})
	}
}

func pemOf(spki []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
}

// Where somebody takes a token apart that isn't from a header, too.
func TestSpellings(t *testing.T) {
	key, c := openTestKey(t), newClock()
	good := signed(t, key, c.now, func(*claims) {})
	if _, err := parseToken(good); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"line break in the header":    good[:4] + "\n" + good[4:],
		"line break in the signature": good[:len(good)-4] + "\r" + good[len(good)-4:],
		"loose last bits":             looseLastBits(good),
		"padding":                     good + "==",
		"blank":                       good + " ",
		"fourth part":                 good + ".",
		"standard alphabet":           strings.ReplaceAll(strings.ReplaceAll(good, "-", "+"), "_", "/") + "/A",
	} {
		if _, err := parseToken(token); ReasonOf(err) != Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func decodeRaw(tb testing.TB, segment string) []byte {
	tb.Helper()
	data, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// looseLastBits changes the bits of a token's last character that decode to
// nothing: the same signature, spelled differently.
func looseLastBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

// FuzzAuthenticate looks for a panic, and for any text but the token itself that is
// accepted.
func FuzzAuthenticate(f *testing.F) {
	key, c := openTestKey(f), newClock()
	good := signed(f, key, c.now, func(*claims) {})
	a := ownAuthenticator(key, c.now)
	f.Add(good)
	f.Add(good + "=")
	f.Add(good + "\n")
	f.Add(looseLastBits(good))
	f.Add(forged(f, jwt.SigningMethodHS256, key.id, []byte(key.Public().Key.(ed25519.PublicKey)), c.now()))
	f.Add(forged(f, jwt.SigningMethodNone, key.id, jwt.UnsafeAllowNoneSignatureType, c.now()))
	f.Add("")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		id, err := a.Authenticate(bearer(token))
		if err == nil && strings.Trim(token, " \t") != good {
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
