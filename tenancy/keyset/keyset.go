package keyset

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// DefaultRefresh is how often a URL is asked again if nothing else is said.
const DefaultRefresh = 15 * time.Minute

// Options say where keys are: in exactly one of File, SecretFile, JWKSFile, JWKSURL, or
// where Discovery finds them.
type Options struct {
	// File is PEM: public keys or certificates, [tenancy.MaxKeys] at most. They match tokens of any
	// "kid" and of none, unless ID is set: then there is one key, for tokens of that
	// "kid" and of none. A certificate's key is accepted until the certificate ends.
	File string
	// SecretFile holds a secret of at least 32 bytes for HS256, 48 for HS384, 64 for
	// HS512 (RFC 7518, section 3.2), less whitespace at its end. ID is as for File.
	SecretFile string
	// JWKSFile is a JSON Web Key Set (RFC 7517). See [Set.Keys] for what its keys match.
	JWKSFile string
	// JWKSURL is where a JSON Web Key Set is: https, or http at a loopback host.
	JWKSURL string
	// Discovery asks Issuer's /.well-known/openid-configuration for the URL of its key
	// set (OpenID Connect Discovery 1.0, section 4).
	Discovery bool
	// Issuer is the "iss" of the tokens. With Discovery it is a URL as JWKSURL is.
	Issuer string

	ID     string // "kid" of the one key of File or SecretFile; empty: any
	Tenant string // [tenancy.PublicKey.Tenant] of all keys
	// CAFile is PEM: who alone vouches for the URL's server. Empty: the system's authorities.
	CAFile string
	// Refresh is how often a URL is asked again, within a tenth; 0: [DefaultRefresh].
	Refresh time.Duration

	Log     *slog.Logger
	Metrics *Metrics         // nil: none
	Now     func() time.Time // usually time.Now
}

// Open reads the keys of a file, and fails on what is wrong with it. It never touches
// the network: the keys of a URL come with [Set.Run].
func Open(o Options) (*Set, error) {
	if o.Refresh == 0 {
		o.Refresh = DefaultRefresh
	}
	kind, place, err := o.source()
	if err != nil {
		return nil, err
	}
	s := &Set{opts: o, kind: kind, place: place, log: o.Log.With("issuer", o.Issuer, "keys", place)}
	s.state.Store(&state{})
	if kind == kindURL || kind == kindDiscovery {
		if s.client, err = newClient(o.CAFile); err != nil {
			return nil, err
		}
		s.wake, s.pending = make(chan struct{}, 1), make(chan struct{})
		return s, nil
	}
	keys, err := s.readFile()
	if err != nil {
		return nil, fmt.Errorf("read keys: %s: %w", place, err)
	}
	s.put(keys)
	return s, nil
}

func (s *Set) readFile() ([]tenancy.PublicKey, error) {
	switch s.kind {
	case kindPEM:
		return readPEM(s.opts)
	case kindSecret:
		return readSecret(s.opts)
	default:
		keys, skipped, err := readJWKSFile(s.opts.JWKSFile)
		s.logSkipped(skipped)
		return keys, err
	}
}

// kind is which of the options says where keys are.
type kind string

const (
	kindPEM       kind = "file"
	kindSecret    kind = "secret_file"
	kindJWKS      kind = "jwks_file"
	kindURL       kind = "jwks_url"
	kindDiscovery kind = "discovery"
)

// source returns which option is set, and what to call the place in logs and metrics.
func (o Options) source() (k kind, place string, err error) {
	given := map[kind]string{kindPEM: o.File, kindSecret: o.SecretFile, kindJWKS: o.JWKSFile, kindURL: o.JWKSURL}
	if o.Discovery {
		given[kindDiscovery] = o.Issuer
	}
	n := 0
	for each, value := range given {
		if value != "" || each == kindDiscovery {
			k, place, n = each, value, n+1
		}
	}
	switch remote := k == kindURL || k == kindDiscovery; {
	case n != 1:
		return "", "", errors.New("want exactly one of file, secret_file, jwks_file, jwks_url and discovery")
	case o.ID != "" && k != kindPEM && k != kindSecret:
		return "", "", fmt.Errorf("id is for file and secret_file; the keys of %s have their own", k)
	case o.CAFile != "" && !remote:
		return "", "", errors.New("ca_file is for jwks_url and discovery")
	case o.Refresh < 0:
		return "", "", errors.New("refresh must not be negative")
	case remote:
		if place, err = checkURL(k, place); err != nil {
			err = fmt.Errorf("%s: %w", k, err)
		}
	}
	return k, place, err
}
