package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"github.com/invoscope/invoscope/tenancy"
)

const (
	// renewBefore is how much life a daemon's own token must have left.
	renewBefore = 7 * 24 * time.Hour

	// OwnSubject is the "sub" of the daemon's own token.
	OwnSubject = "invoscope"
)

// EnsureToken makes sure that path holds the daemon's own token: one for tenant, signed
// by the key that signs now, with every scope but [tenancy.Admin], not revoked, and good
// for at least 7 days. The token that is there stays as long as it is all that;
// otherwise a new one with [tenancy.DefaultLife] replaces it atomically. It reports
// whether it wrote one. A daemon calls it again every day or so, and when something in
// the store has changed.
//
// A new file has mode 0600. An existing file keeps its mode: its owner may have opened
// it to the group of a log shipper.
func (s *Store) EnsureToken(path, tenant string) (bool, error) {
	token, err := tenancy.ReadTokenFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && tenancy.ReasonOf(err) == "" {
		return false, err
	}
	scopes := slices.DeleteFunc(tenancy.Scopes(), func(s tenancy.Scope) bool { return s == tenancy.Admin })
	if err == nil {
		good, err := s.stillGood(token, tenant, scopes)
		if good || err != nil {
			return false, err
		}
	}
	// Before a token is made, and recorded, that can't be written down.
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithPermissions(0o600), renameio.WithExistingPermissions())
	if err != nil {
		return false, fmt.Errorf("write token file: %w", err)
	}
	defer f.Cleanup() //nolint:errcheck // nothing is left to clean up once it was replaced
	token, _, err = s.Issue(tenancy.Grant{Tenant: tenant, Subject: OwnSubject, Scopes: scopes, Life: tenancy.DefaultLife}, JWT)
	if err != nil {
		return false, err
	}
	if _, err := f.WriteString(token + "\n"); err != nil {
		return false, fmt.Errorf("write token file: %w", err)
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return false, fmt.Errorf("write token file: %w", err)
	}
	return true, nil
}

func (s *Store) stillGood(token, tenant string, scopes []tenancy.Scope) (bool, error) {
	key, err := s.SigningKey()
	if err != nil {
		return false, err
	}
	revoked, err := s.Revocations()
	if err != nil {
		return false, err
	}
	policy := tenancy.Policy{Issuers: []tenancy.Issuer{tenancy.Own(key.Keys())}, Revocations: revoked}
	id, err := tenancy.NewAuthenticator(policy, s.now).Authenticate(tenancy.Caller{Authorization: []string{"Bearer " + token}})
	if err != nil || id.Tenant != tenant || id.Expires.Sub(s.now()) < renewBefore {
		return false, nil //nolint:nilerr // whatever is wrong with it, it isn't good
	}
	for _, scope := range scopes {
		if !id.Allows(scope) {
			return false, nil
		}
	}
	return true, nil
}
