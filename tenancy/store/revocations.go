package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/invoscope/invoscope/tenancy"
)

// Revocation is tokens that are no longer accepted, as it is kept.
type Revocation struct {
	tenancy.Revocation
	Revoked time.Time // when
	Why     string    // for people; may be empty
	Until   time.Time // from when it may be forgotten; zero: never
}

// maxRevocations is what is read of the revocations' file, in bytes: 10,000 have 3 MB.
const maxRevocations = 256 << 20

// revocationList is the revocations' file.
type revocationList struct {
	Version     int               `json:"version"`
	Revocations []revocationEntry `json:"revocations"`
}

type revocationEntry struct {
	TokenID      string    `json:"token_id,omitempty"`
	Subject      string    `json:"subject,omitempty"`
	IssuedBefore time.Time `json:"issued_before,omitzero"`
	Issuer       string    `json:"issuer,omitempty"`
	Tenant       string    `json:"tenant,omitempty"`

	Revoked time.Time `json:"revoked"`
	Why     string    `json:"why,omitempty"`
	Until   time.Time `json:"until,omitzero"`
}

func entryOf(r *Revocation) revocationEntry {
	return revocationEntry{
		TokenID: r.TokenID, Subject: r.Subject, IssuedBefore: r.IssuedBefore.UTC(), Issuer: r.Issuer, Tenant: r.Tenant,
		Revoked: r.Revoked.UTC(), Why: r.Why, Until: r.Until.UTC(),
	}
}

func (e *revocationEntry) revocation() Revocation {
	return Revocation{
		Revocation: tenancy.Revocation{TokenID: e.TokenID, Subject: e.Subject, IssuedBefore: e.IssuedBefore, Issuer: e.Issuer, Tenant: e.Tenant},
		Revoked:    e.Revoked, Why: e.Why, Until: e.Until,
	}
}

// Revocations returns what is revoked.
func (s *Store) Revocations() ([]tenancy.Revocation, error) {
	all, err := s.loadRevocations()
	if err != nil {
		return nil, err
	}
	revoked := make([]tenancy.Revocation, len(all))
	for i := range all {
		revoked[i] = all[i].Revocation
	}
	return revoked, nil
}

// Revoked returns what is revoked, with when and why, the oldest first.
func (s *Store) Revoked() ([]Revocation, error) { return s.loadRevocations() }

// Revoke ends tokens, and reports whether they weren't revoked yet: that a revocation
// is there already is no error.
//
// It is kept for as long as it may matter. That is known of a single token that was
// issued here; others are kept until the date until, or for good if it is zero.
func (s *Store) Revoke(r tenancy.Revocation, why string, until time.Time) (bool, error) {
	if r.IsZero() {
		return false, errors.New("revoke: it isn't said which tokens")
	}
	for _, text := range []string{r.TokenID, r.Subject, r.Issuer, r.Tenant, why} {
		// JSON would keep another text, which hits another token.
		if !utf8.ValidString(text) {
			return false, fmt.Errorf("revoke: %q is not UTF-8", text)
		}
	}
	added := false
	err := s.locked(func() error {
		all, err := s.loadRevocations()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(old Revocation) bool { return same(old.Revocation, r) }) {
			return nil
		}
		if until.IsZero() {
			if until, err = s.lastUse(r); err != nil {
				return err
			}
		}
		added = true
		return s.writeRevocations(append(all, Revocation{Revocation: r, Revoked: s.now(), Why: why, Until: until}))
	})
	if err != nil {
		return false, fmt.Errorf("revoke: %w", err)
	}
	return added, nil
}

func same(a, b tenancy.Revocation) bool {
	equal := a.IssuedBefore.Equal(b.IssuedBefore)
	a.IssuedBefore, b.IssuedBefore = time.Time{}, time.Time{}
	return equal && a == b
}

// lastUse returns when nothing that r names can be accepted any more; zero if that
// isn't known.
func (s *Store) lastUse(r tenancy.Revocation) (time.Time, error) {
	if r.Issuer != tenancy.OwnIssuer || !validID(r.TokenID) {
		return time.Time{}, nil
	}
	issued, err := s.loadRecord(r.TokenID)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	} else if err != nil {
		return time.Time{}, err
	}
	return issued.Expires.Add(sweepAfter), nil
}

func (s *Store) writeRevocations(all []Revocation) error {
	list := revocationList{Version: fileVersion, Revocations: make([]revocationEntry, len(all))}
	for i := range all {
		list.Revocations[i] = entryOf(&all[i])
	}
	content, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return s.write(s.revocationFile(), append(content, '\n'))
}

// loadRevocations leaves out what may be forgotten.
func (s *Store) loadRevocations() ([]Revocation, error) {
	path := s.revocationFile()
	data, err := readFile(path, maxRevocations, guarded)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("load revocations: %w", err)
	}
	var list revocationList
	if err := decode(data, &list, &list.Version); err != nil {
		return nil, fmt.Errorf("load revocations: %s: %w", path, err)
	}
	all := make([]Revocation, 0, len(list.Revocations))
	for i := range list.Revocations {
		r := list.Revocations[i].revocation()
		if r.IsZero() {
			return nil, fmt.Errorf("load revocations: %s: the entry %d doesn't say which tokens", path, i)
		}
		if r.Until.IsZero() || s.now().Before(r.Until) {
			all = append(all, r)
		}
	}
	return all, nil
}

func (r *Revocation) describe() string {
	text := ""
	if r.Subject != "" {
		text += fmt.Sprintf(" of subject %q", r.Subject)
	}
	if r.Tenant != "" {
		text += fmt.Sprintf(" of tenant %q", r.Tenant)
	}
	if !r.IssuedBefore.IsZero() {
		text += " issued before " + r.IssuedBefore.UTC().Format(time.RFC3339)
	}
	return "those" + text
}
