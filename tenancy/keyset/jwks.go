package keyset

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"

	"github.com/invoscope/invoscope/tenancy"
)

const (
	maxKeys = 100 // of a set; providers have two to ten
	maxID   = 256 // bytes of a "kid"
	maxTold = 5   // keys of which is said why they aren't used
)

// errPrivate is why a key isn't taken.
var errPrivate = errors.New("a private key, which everybody who can read the set can sign with")

// readJWKSFile reads the key set of a file. It may hold secrets, if others can't read it.
func readJWKSFile(path string) (keys []tenancy.PublicKey, skipped []string, err error) {
	data, mode, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	keys, skipped, err = parseJWKS(data, true)
	if err != nil {
		return nil, skipped, err
	}
	if slices.ContainsFunc(keys, func(k tenancy.PublicKey) bool { _, secret := k.Key.([]byte); return secret }) {
		err = private(path, mode)
	}
	return keys, skipped, err
}

// parseJWKS returns the usable keys of a JSON Web Key Set (RFC 7517), and why it leaves
// others out (section 5). Its error is for a set that holds none. In a file
// secrets are usable, and a private key is an error.
func parseJWKS(data []byte, file bool) (keys []tenancy.PublicKey, skipped []string, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	switch err := json.Unmarshal(data, &set); {
	case err != nil:
		return nil, nil, fmt.Errorf("not a JSON Web Key Set: %.100s", err.Error())
	case len(set.Keys) > maxKeys:
		return nil, nil, fmt.Errorf("%d keys (want at most %d)", len(set.Keys), maxKeys)
	}
	same := map[string]int{}
	for n, raw := range set.Keys {
		made, err := parseJWK(raw, file)
		switch {
		case file && errors.Is(err, errPrivate):
			return nil, nil, fmt.Errorf("key %d: %w", n+1, err)
		case err != nil:
			skipped = append(skipped, fmt.Sprintf("key %d: %v", n+1, err))
			continue
		}
		keys = append(keys, made...)
		if same[made[0].ID] += len(made); same[made[0].ID] > tenancy.MaxKeys {
			return nil, skipped, fmt.Errorf("more than %d keys with one kid", tenancy.MaxKeys)
		}
	}
	if len(keys) == 0 {
		return nil, skipped, fmt.Errorf("no usable key among %d", len(set.Keys))
	}
	return keys, skipped, nil
}

// parseJWK returns the key, once for each algorithm if it is a secret, or why it isn't usable.
func parseJWK(raw json.RawMessage, file bool) ([]tenancy.PublicKey, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, errors.New("not a JSON Web Key")
	}
	switch {
	case m.KTY == jwkset.KtyOct && !file:
		return nil, errors.New("a secret, which is never taken from a URL")
	case m.KTY != jwkset.KtyOct && (m.D != "" || m.P != "" || m.Q != "" || m.DP != "" || m.DQ != "" || m.QI != ""):
		return nil, errPrivate
	case m.USE != "" && m.USE != jwkset.UseSig:
		return nil, fmt.Errorf("use is %.20q, not sig", m.USE)
	case len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify):
		return nil, errors.New("key_ops don't include verify")
	case len(m.KID) > maxID:
		return nil, fmt.Errorf("its kid is longer than %d bytes", maxID)
	case !slices.Contains([]jwkset.KTY{jwkset.KtyRSA, jwkset.KtyEC, jwkset.KtyOKP, jwkset.KtyOct}, m.KTY):
		return nil, fmt.Errorf("of the unknown type %.20q", m.KTY)
	case !slices.Contains([]jwkset.CRV{"", jwkset.CrvP256, jwkset.CrvP384, jwkset.CrvP521, jwkset.CrvEd25519}, m.CRV):
		return nil, fmt.Errorf("on the curve %.20q (want P-256, P-384, P-521 or Ed25519)", m.CRV)
	}
	// The key is enough: certificates beside it vouch for nothing that the place where the
	// set comes from doesn't, and x5u would have us fetch what the set names.
	bare := jwkset.JWKMarshal{KTY: m.KTY, CRV: m.CRV, X: m.X, Y: m.Y, N: m.N, E: m.E, K: m.K}
	jwk, err := jwkset.NewJWKFromMarshal(bare, jwkset.JWKMarshalOptions{Private: m.KTY == jwkset.KtyOct}, jwkset.JWKValidateOptions{})
	if err != nil {
		return nil, fmt.Errorf("of type %s: %w", m.KTY, err)
	}
	return publicKeys(m.KID, jwk.Key(), string(m.ALG))
}
