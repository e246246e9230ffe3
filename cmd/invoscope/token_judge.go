package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

// inspectAPI tells of an opaque token what was kept of it.
func inspectAPI(s *store.Store, k known, token string, now time.Time) (*inspection, error) {
	t, err := s.APIToken(token)
	switch {
	case errors.Is(err, store.ErrWrongSecret):
		return &inspection{Kind: store.API, State: stateForged, Why: "there is a token with this id, and another secret"}, nil
	case errors.Is(err, fs.ErrNotExist):
		return &inspection{Kind: store.API, State: stateUnknown, Why: "no such token was issued here, or it expired and was forgotten"}, nil
	case err != nil:
		return nil, err
	}
	i := &inspection{
		Kind: t.Kind, ID: t.ID, Issuer: tenancy.OwnIssuer, Subject: t.Subject, Tenant: t.Tenant, Tenants: t.Tenants,
		Issued: t.Issued, Expires: t.Expires,
	}
	for _, scope := range t.Scopes {
		i.Scopes = append(i.Scopes, string(scope))
	}
	i.State, i.Why = k.judge(&t, now)
	if r := k.revocation(t.Identity()); r != nil {
		i.Why = since(r, now)
	}
	return i, nil
}

// since says when a token was revoked, and why.
func since(r *store.Revocation, now time.Time) string {
	text := "since " + stamp(r.Revoked, now)
	if r.Why != "" {
		text += ": " + r.Why
	}
	return text
}

// inspectJWT tells what a JWT claims, and what is to be thought of it.
func inspectJWT(s *store.Store, k known, token string, now func() time.Time) (*inspection, error) {
	i := &inspection{Kind: store.JWT}
	header, err := i.readClaims(token)
	if err != nil {
		return &inspection{State: stateMalformed, Why: "neither a JWT nor an opaque token of Invoscope"}, nil //nolint:nilerr // the state says it
	}
	i.readKey(k, header)
	if i.Issuer != tenancy.OwnIssuer {
		i.judgeForeign(k, now())
		return i, nil
	}
	return i, i.judgeOwn(s, k, token, now)
}

// readClaims takes the token apart. Nobody vouches for what it says.
func (i *inspection) readClaims(token string) (header map[string]any, err error) {
	var claims jwt.MapClaims
	parsed, parts, err := jwt.NewParser(jwt.WithJSONNumber()).ParseUnverified(token, &claims)
	if err != nil {
		return nil, err
	}
	payload, err := jwt.NewParser().DecodeSegment(parts[1])
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(payload, &i.Claims); err != nil {
		return nil, err
	}
	take := func(name string, into *string) {
		if text, ok := claims[name].(string); ok {
			*into = text
			delete(i.Claims, name)
		}
	}
	take("jti", &i.ID)
	take("iss", &i.Issuer)
	take("sub", &i.Subject)
	take("tenant", &i.Tenant)
	for name, into := range map[string]*[]string{"aud": &i.Audience, "tenants": &i.Tenants, "scope": &i.Scopes} {
		if texts, ok := textsOf(claims[name]); ok {
			*into = texts
			delete(i.Claims, name)
		}
	}
	for name, into := range map[string]*time.Time{"iat": &i.Issued, "nbf": &i.NotBefore, "exp": &i.Expires} {
		if at, ok := dateOf(claims[name]); ok {
			*into = at
			delete(i.Claims, name)
		}
	}
	return parsed.Header, nil
}

// textsOf reads a string of words, or an array of strings.
func textsOf(v any) ([]string, bool) {
	switch v := v.(type) {
	case string:
		return strings.Fields(v), true
	case []any:
		texts := make([]string, len(v))
		for i := range v {
			text, ok := v[i].(string)
			if !ok {
				return nil, false
			}
			texts[i] = text
		}
		return texts, true
	}
	return nil, false
}

// dateOf reads a NumericDate (RFC 7519, section 2) of a year that can be written.
func dateOf(v any) (time.Time, bool) {
	number, _ := v.(json.Number)
	seconds, err := number.Float64()
	const year10000 = 253402300800
	if err != nil || seconds <= 0 || seconds >= year10000 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC(), true
}

// readKey tells what is known of the key that the token names.
func (i *inspection) readKey(k known, header map[string]any) {
	i.Algorithm, _ = header["alg"].(string)
	kid, _ := header["kid"].(string)
	i.Key = &inspectedKey{ID: kid, State: "unknown"}
	if info := k.key(kid); info != nil {
		i.Key.State, i.Key.Until = string(info.State), info.Until
	}
}

// identity is whom the claims name.
func (i *inspection) identity() tenancy.Identity {
	return tenancy.Identity{Issuer: i.Issuer, Subject: i.Subject, TokenID: i.ID, Tenant: i.Tenant, Reads: i.Tenants, Issued: i.Issued, Expires: i.Expires}
}

// judgeForeign can only tell what is so even if all that the token says is true.
func (i *inspection) judgeForeign(k known, now time.Time) {
	r := k.revocation(i.identity())
	switch {
	case r != nil:
		i.State, i.Why = stateRevoked, since(r, now)
	case !i.Expires.IsZero() && !now.Before(i.Expires):
		i.State = stateExpired
	default:
		i.State, i.Why = stateUnverified, "it is of another issuer, whose keys only a running daemon has"
	}
}

// judgeOwn judges as a daemon on this data directory does.
func (i *inspection) judgeOwn(s *store.Store, k known, token string, now func() time.Time) error {
	keys, err := s.KeySet()
	if err != nil {
		return err
	}
	revoked, err := s.Revocations()
	if err != nil {
		return err
	}
	policy := tenancy.Policy{Issuers: []tenancy.Issuer{tenancy.Own(keys)}, Revocations: revoked}
	_, err = tenancy.NewAuthenticator(policy, now).Authenticate(tenancy.Caller{Authorization: []string{"Bearer " + token}})
	switch reason := tenancy.ReasonOf(err); reason {
	case "":
		i.State = stateValid
	case tenancy.Expired:
		i.State = stateExpired
	case tenancy.NotYetValid:
		i.State = stateNotYetValid
	case tenancy.Revoked:
		i.State = stateRevoked
		if r := k.revocation(i.identity()); r != nil {
			i.Why = since(r, now())
		}
	case tenancy.BadSignature:
		i.State, i.Why = signatureState(k.key(i.Key.ID))
	default:
		i.State, i.Why = "refused", timeline.Clean(err.Error())
	}
	return nil
}

// signatureState says why a signature isn't right, by the key that is said to have made it.
func signatureState(key *store.KeyInfo) (state, why string) {
	switch {
	case key == nil:
		return stateUnknownKey, "no key of this data directory, or one that is gone"
	case key.State == store.Expired:
		return stateUnknownKey, "its key was retired, and accepted until " + key.Until.UTC().Format(time.RFC3339)
	}
	return stateForged, "the key that it names has not signed it"
}
