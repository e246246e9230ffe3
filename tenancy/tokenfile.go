package tenancy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

const (
	// renewBefore is how much life a daemon's own token must have left.
	renewBefore = 7 * 24 * time.Hour

	ownSubject = "invoscope" // "sub" of the daemon's own token
)

// EnsureTokenFile makes sure that path holds the daemon's own token: one for
// tenant, signed by key, with every scope but [Admin], and good for at least
// 7 days. The token that is there stays as long as it is all that; otherwise a
// new one with [DefaultLife] replaces it atomically. It reports whether it
// wrote one. A daemon that runs for months calls it again every day or so.
//
// A new file has mode 0600. An existing file keeps its mode: its owner may
// have opened it to the group of a log shipper.
func EnsureTokenFile(path, tenant string, key *Key, now func() time.Time) (bool, error) {
	token, err := ReadTokenFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && ReasonOf(err) == "" {
		return false, err
	}
	scopes := slices.DeleteFunc(Scopes(), func(s Scope) bool { return s == Admin })
	if err == nil && stillGood(token, tenant, scopes, NewAuthenticator(Policy{Issuers: []Issuer{Own(key.Keys())}}, now)) {
		return false, nil
	}
	issued, err := NewSigner(key, now).Issue(Grant{Tenant: tenant, Subject: ownSubject, Scopes: scopes, Life: DefaultLife})
	if err != nil {
		return false, err
	}
	if err := renameio.WriteFile(path, []byte(issued.Token+"\n"), 0o600); err != nil {
		return false, fmt.Errorf("write token file: %w", err)
	}
	return true, nil
}

func stillGood(token, tenant string, scopes []Scope, a *Authenticator) bool {
	id, err := a.Authenticate(Caller{Authorization: []string{"Bearer " + token}})
	if err != nil || id.Tenant != tenant || id.Expires.Sub(a.now()) < renewBefore {
		return false
	}
	for _, s := range scopes {
		if !id.Allows(s) {
			return false
		}
	}
	return true
}

// ReadTokenFile returns the token in the file at path, without the whitespace
// around it. A file that is empty or can't be a token gives an [*Error].
func ReadTokenFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read token file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read token file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	switch {
	case token == "":
		return "", fmt.Errorf("read token file %s: %w", path, &Error{Reason: Missing})
	case len(data) > maxToken || strings.ContainsFunc(token, notTokenRune):
		return "", fmt.Errorf("read token file %s: %w", path, malformed("not a token"))
	}
	return token, nil
}
