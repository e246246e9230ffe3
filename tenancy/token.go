package tenancy

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// maxKeyID is the longest "kid" looked for, in bytes.
const maxKeyID = 256

// unverified is a JWT taken apart (RFC 7515, section 7.1). Nobody vouches for it yet.
type unverified struct {
	algorithm, kid string
	signed         string // what the signature is of
	signature      []byte
	claims         rawJSON // an object
}

// parseToken takes a JWT apart. It refuses what has a second spelling or reading; every
// error is [Malformed], but for a header that asks for what we don't do.
//
// It isn't left to the JWT library because of how that reads JSON: see [rawJSON].
func parseToken(token string) (*unverified, error) {
	// Before anything works through a megabyte.
	if len(token) > maxToken {
		return nil, malformed("longer than 16 KiB")
	}
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, ok := strings.Cut(rest, ".") // a fourth part isn't base64url
	if !ok {
		return nil, malformed("not three parts")
	}
	t := &unverified{signed: token[:len(header)+1+len(payload)]}
	h, err := decodeObject(header)
	if err != nil {
		return nil, err
	}
	if t.claims, err = decodeObject(payload); err != nil {
		return nil, err
	}
	if t.signature, err = decodeSegment(signature); err != nil {
		return nil, err
	}
	if err := t.readHeader(h); err != nil {
		return nil, err
	}
	return t, nil
}

func decodeSegment(s string) ([]byte, error) {
	// Go's base64 skips line breaks, so without this a token would have many spellings.
	if strings.ContainsAny(s, "\r\n") {
		return nil, malformed("contains a line break")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, malformed("not base64url") // err would tell a part of it
	}
	return b, nil
}

func decodeObject(segment string) (rawJSON, error) {
	b, err := decodeSegment(segment)
	if err != nil {
		return nil, err
	}
	// encoding/json reads other bytes as U+FFFD or as they are; a revocation, which is kept
	// as JSON, couldn't name such a token.
	if !utf8.Valid(b) {
		return nil, malformed("not UTF-8")
	}
	v, ok := parseJSON(b)
	if !ok || !v.object() {
		return nil, malformed("not a JSON object")
	}
	return v, nil
}

// readHeader reads the JOSE header (RFC 7515, section 4.1). It doesn't look at keys or
// the places of keys that it may bring.
func (t *unverified) readHeader(h rawJSON) error {
	// Both change what a signature means, for those who understand them (RFC 7797); nobody
	// needs either with a JWT.
	for _, name := range []string{"crit", "b64"} {
		if v, err := h.member(name); v != nil || err != nil {
			return malformed("header has crit or b64")
		}
	}
	var err error
	if t.algorithm, err = text(h, "alg", maxKeyID); err != nil {
		return err
	}
	if t.kid, err = text(h, "kid", maxKeyID); err != nil {
		return err
	}
	typ, err := text(h, "typ", maxKeyID)
	if err != nil {
		return err
	}
	// RFC 9068, section 2.1, for access tokens. Others, such as logout+jwt, are signed by
	// the same keys and mean something else (RFC 8725, section 3.11).
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "at+jwt":
		return nil
	}
	return malformed("typ is neither JWT nor at+jwt")
}

// text returns the member of an object that has this name, which must be a string of at
// most limit bytes, or "" if it has none.
func text(object rawJSON, name string, limit int) (string, error) {
	v, err := object.find(name)
	if err != nil {
		return "", malformed(name + " is there twice")
	}
	if v == nil {
		return "", nil
	}
	s, ok := v.text()
	if !ok || len(s) > limit {
		return "", malformed(name + " is not a string, or too long")
	}
	return s, nil
}
