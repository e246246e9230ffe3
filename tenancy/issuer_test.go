package tenancy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSeveralIssuers(t *testing.T) {
	key, c := openTestKey(t), newClock()
	keys := testKeys(t)
	other := issuerOf(PublicKey{ID: "other", Key: keys["ES256"].public}, "ES256")
	third := issuerOf(PublicKey{ID: "third", Key: keys["EdDSA"].public}, "EdDSA")
	third.Name, third.Audiences = "third", []string{"elsewhere"}
	a := NewAuthenticator(Policy{Issuers: []Issuer{Own(key.Keys()), other, third}}, c.now)

	own := issue(t, key, c.now, Grant{Tenant: "acme"})
	foreign := mint(t, "ES256", keys["ES256"].private, `{"alg":"ES256","kid":"other"}`, payloadFor(c.now(), `,"tenant":"beta","scope":"logs:read"`))
	for token, want := range map[string]string{own: "invoscope/acme", foreign: otherIssuer + "/beta"} {
		for range 2 { // verified, and cached
			id, err := a.Authenticate(bearer(token))
			if got := id.Issuer + "/" + id.Tenant; err != nil || got != want {
				t.Errorf("%s, %v; want %s", got, err, want)
			}
		}
	}
	// One issuer's key must not sign for another, whichever of the two is named.
	for name, token := range map[string]string{
		"other's key for our name":     mint(t, "ES256", keys["ES256"].private, `{"alg":"ES256","kid":"other"}`, strings.Replace(payloadFor(c.now(), `,"tenant":"acme"`), otherIssuer, "invoscope", 1)),
		"our key for other's name":     mint(t, "EdDSA", key.private, `{"alg":"EdDSA","kid":"`+key.id+`"}`, payloadFor(c.now(), `,"tenant":"acme"`)),
		"third's key for other's name": mint(t, "EdDSA", keys["EdDSA"].private, `{"alg":"EdDSA","kid":"third"}`, payloadFor(c.now(), `,"tenant":"acme"`)),
	} {
		_, err := a.Authenticate(bearer(token))
		if ReasonOf(err) != BadSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Nor does one issuer's audience count for another.
	token := mint(t, "EdDSA", keys["EdDSA"].private, `{"alg":"EdDSA"}`, strings.Replace(payloadFor(c.now(), `,"tenant":"acme"`), otherIssuer, "third", 1))
	_, err := a.Authenticate(bearer(token))
	wantReason(t, err, WrongAudience)
}

func TestIssuerLeeway(t *testing.T) {
	keys, c := testKeys(t), newClock()
	key := PublicKey{Key: keys["EdDSA"].public}
	for _, leeway := range []time.Duration{0, 10 * time.Second, 5 * time.Minute} {
		issuer := issuerOf(key, "EdDSA")
		issuer.Leeway = leeway
		a := NewAuthenticator(Policy{Issuers: []Issuer{issuer}}, c.now)
		at := func(claim string, d time.Duration) string {
			payload := fmt.Sprintf(`{"iss":%q,"aud":["invoscope"],"tenant":"acme","exp":%d,%q:%d}`,
				otherIssuer, c.now().Add(time.Hour).Unix(), claim, c.now().Add(d).Unix())
			if claim == "exp" {
				payload = strings.Replace(payload, fmt.Sprintf(`"exp":%d,`, c.now().Add(time.Hour).Unix()), "", 1)
			}
			return mint(t, "EdDSA", keys["EdDSA"].private, `{"alg":"EdDSA"}`, payload)
		}
		for _, step := range []struct {
			claim string
			d     time.Duration
			want  Reason
		}{
			{"exp", -leeway, Expired},
			{"exp", -leeway + time.Second, ""},
			{"nbf", leeway, ""},
			{"nbf", leeway + time.Second, NotYetValid},
			{"iat", leeway, ""},
			{"iat", leeway + time.Second, NotYetValid},
		} {
			_, err := a.Authenticate(bearer(at(step.claim, step.d)))
			if ReasonOf(err) != step.want {
				t.Errorf("leeway %s, %s in %s: %v, want %q", leeway, step.claim, step.d, err, step.want)
			}
		}
	}
}

// Dates may have fractions.
func TestFractionOfASecond(t *testing.T) {
	keys, c := testKeys(t), newClock()
	a := NewAuthenticator(Policy{Issuers: []Issuer{issuerOf(PublicKey{Key: keys["EdDSA"].public}, "EdDSA")}}, c.now)
	payload := fmt.Sprintf(`{"iss":%q,"aud":"invoscope","tenant":"acme","exp":%d.5,"iat":%d.25e0}`, otherIssuer, c.now().Unix()+1, c.now().Unix()-1)
	id, err := a.Authenticate(bearer(mint(t, "EdDSA", keys["EdDSA"].private, `{"alg":"EdDSA"}`, payload)))
	if err != nil {
		t.Fatal(err)
	}
	if got := id.Expires.Sub(c.now()); got != 1500*time.Millisecond {
		t.Errorf("expires in %s, want 1.5s", got)
	}
	if got := id.Issued.Sub(c.now()); got != -750*time.Millisecond {
		t.Errorf("issued %s from now, want -750ms", got)
	}
}

func TestKeyChoice(t *testing.T) {
	keys, c := testKeys(t), newClock()
	right, private := keys["EdDSA"].public, keys["EdDSA"].private
	wrong := func(id string) PublicKey { return PublicKey{ID: id, Key: testKeys(t)["EdDSA"].public} }
	many := func(n int) (all []PublicKey) {
		for i := range n {
			all = append(all, wrong("w"+strconv.Itoa(i)))
		}
		return all
	}
	tests := map[string]struct {
		kid  string
		sets [][]PublicKey
		want Reason
	}{
		"kid and id":                         {"a", [][]PublicKey{{{ID: "a", Key: right}}}, ""},
		"kid and no id":                      {"a", [][]PublicKey{{{Key: right}}}, ""},
		"no kid and id":                      {"", [][]PublicKey{{{ID: "a", Key: right}}}, ""},
		"another kid":                        {"b", [][]PublicKey{{{ID: "a", Key: right}}}, BadSignature},
		"kid in another case":                {"A", [][]PublicKey{{{ID: "a", Key: right}}}, BadSignature},
		"two of one id":                      {"a", [][]PublicKey{{wrong("a"), {ID: "a", Key: right}}}, ""},
		"second set":                         {"a", [][]PublicKey{{wrong("b")}, {{ID: "a", Key: right}}}, ""},
		"no set":                             {"a", nil, BadSignature},
		"empty set":                          {"a", [][]PublicKey{{}}, BadSignature},
		"8th key":                            {"", [][]PublicKey{append(many(7), PublicKey{Key: right})}, ""},
		"9th key":                            {"", [][]PublicKey{append(many(8), PublicKey{Key: right})}, BadSignature},
		"9th key in the second set":          {"", [][]PublicKey{many(8), {{Key: right}}}, BadSignature},
		"9th key, others of other ids":       {"a", [][]PublicKey{append(many(100), PublicKey{ID: "a", Key: right})}, ""},
		"9th key, others of other algorithm": {"", [][]PublicKey{slices.Concat(slices.Repeat([]PublicKey{{Key: keys["RS256"].public}}, 100), []PublicKey{{Key: right}})}, ""},
		"key's time over":                    {"", [][]PublicKey{{{Key: right, Until: c.now()}}}, BadSignature},
		"key's time not over":                {"", [][]PublicKey{{{Key: right, Until: c.now().Add(time.Second)}}}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			issuer := issuerOf(PublicKey{}, Algorithms()...)
			issuer.Keys = nil
			for _, set := range tt.sets {
				issuer.Keys = append(issuer.Keys, &keySet{keys: set})
			}
			a := NewAuthenticator(Policy{Issuers: []Issuer{issuer}}, c.now)
			header := `{"alg":"EdDSA","kid":"` + tt.kid + `"}`
			if tt.kid == "" {
				header = `{"alg":"EdDSA"}`
			}
			_, err := a.Authenticate(bearer(mint(t, "EdDSA", private, header, payloadFor(c.now(), `,"tenant":"acme"`))))
			wantReason(t, err, tt.want)
			if len(tt.sets) > 0 {
				if asked := issuer.Keys[0].(*keySet).asked; len(asked) != 1 || asked[0] != tt.kid {
					t.Errorf("asked for the keys %q, want %q once", asked, tt.kid)
				}
			}
		})
	}
}

func TestTenantOfTheKey(t *testing.T) {
	keys, c := testKeys(t), newClock()
	for name, tt := range map[string]struct {
		issuer, key, claim string
		tenant             string
		want               Reason
	}{
		"key":                      {"", "acme", ``, "acme", ""},
		"key and claim":            {"", "acme", `,"tenant":"acme"`, "acme", ""},
		"key and another claim":    {"", "acme", `,"tenant":"victim"`, "", BadTenant},
		"key and issuer":           {"acme", "acme", ``, "acme", ""},
		"key and another issuer":   {"victim", "acme", ``, "", BadTenant},
		"both, and issuer's claim": {"victim", "acme", `,"tenant":"victim"`, "", BadTenant},
		"bad key":                  {"", "a|b", ``, "", BadTenant},
	} {
		t.Run(name, func(t *testing.T) {
			issuer := issuerOf(PublicKey{Key: keys["EdDSA"].public, Tenant: tt.key}, "EdDSA")
			issuer.Tenant = tt.issuer
			a := NewAuthenticator(Policy{Issuers: []Issuer{issuer}}, c.now)
			id, err := a.Authenticate(bearer(mint(t, "EdDSA", keys["EdDSA"].private, `{"alg":"EdDSA"}`, payloadFor(c.now(), tt.claim))))
			wantReason(t, err, tt.want)
			if id.Tenant != tt.tenant {
				t.Errorf("tenant %q, want %q", id.Tenant, tt.tenant)
			}
		})
	}
}

// Strangers must not make a key set, which may ask a provider, look for keys by a token
// that would be refused whatever the key.
func TestNoKeyIsAskedForInVain(t *testing.T) {
	keys, c := testKeys(t), newClock()
	set := &keySet{keys: []PublicKey{{ID: "a", Key: keys["EdDSA"].public}}}
	issuer := issuerOf(PublicKey{}, "EdDSA")
	issuer.Keys = []KeySet{set}
	a := NewAuthenticator(Policy{Issuers: []Issuer{issuer}}, c.now)
	for _, token := range []string{
		mint(t, "HS256", make([]byte, 32), `{"alg":"HS256","kid":"a"}`, payloadFor(c.now(), "")),
		mint(t, "EdDSA", keys["EdDSA"].private, `{"alg":"EdDSA","kid":"a"}`, `{"iss":"other"}`),
		mint(t, "EdDSA", keys["EdDSA"].private, `{"alg":"EdDSA","kid":"a","crit":[]}`, payloadFor(c.now(), "")),
		mint(t, "EdDSA", keys["EdDSA"].private, `{"alg":"EdDSA","kid":"`+strings.Repeat("a", 300)+`"}`, payloadFor(c.now(), "")),
	} {
		if _, err := a.Authenticate(bearer(token)); err == nil {
			t.Error("accepted")
		}
	}
	if len(set.asked) > 0 {
		t.Errorf("asked for the keys %q", set.asked)
	}
}

// What Validate complains about must not let anybody in.
func TestInvalidPolicies(t *testing.T) {
	keys, c := testKeys(t), newClock()
	good := issuerOf(PublicKey{Key: keys["EdDSA"].public}, "EdDSA")
	with := func(change func(*Issuer)) []Issuer {
		i := good
		change(&i)
		return []Issuer{i}
	}
	payload := payloadFor(c.now(), `,"tenant":"acme"`)
	for name, tt := range map[string]struct {
		issuers []Issuer
		payload string
		want    Reason
	}{
		"no issuer":        {nil, payload, WrongIssuer},
		"issuer twice":     {[]Issuer{good, good}, payload, WrongIssuer},
		"three times":      {[]Issuer{good, good, good}, payload, WrongIssuer},
		"no audience":      {with(func(i *Issuer) { i.Audiences = nil }), strings.Replace(payload, `"aud":"invoscope",`, "", 1), WrongAudience},
		"empty audience":   {with(func(i *Issuer) { i.Audiences = []string{""} }), strings.Replace(payload, `"aud":"invoscope"`, `"aud":["",""]`, 1), WrongAudience},
		"no algorithm":     {with(func(i *Issuer) { i.Algorithms = nil }), payload, BadSignature},
		"no name":          {with(func(i *Issuer) { i.Name = "" }), strings.Replace(payload, `"iss":"`+otherIssuer+`",`, "", 1), WrongIssuer},
		"no key set":       {with(func(i *Issuer) { i.Keys = []KeySet{nil} }), payload, BadSignature},
		"no tenant claim":  {with(func(i *Issuer) { i.Claims = ClaimNames{} }), payload, BadTenant},
		"bad pointer":      {with(func(i *Issuer) { i.Claims.Tenant = "/a~" }), payload, BadTenant},
		"bad fixed tenant": {with(func(i *Issuer) { i.Tenant, i.Claims = "a|b", ClaimNames{} }), payload, BadTenant},
	} {
		t.Run(name, func(t *testing.T) {
			a := NewAuthenticator(Policy{Issuers: tt.issuers}, c.now)
			_, err := a.Authenticate(bearer(mint(t, "EdDSA", keys["EdDSA"].private, `{"alg":"EdDSA"}`, tt.payload)))
			wantReason(t, err, tt.want)
		})
	}
}
