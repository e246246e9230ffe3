package keyset

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// Set is a set of keys. It is safe for concurrent use.
type Set struct {
	opts   Options
	kind   kind
	place  string // for people: a path, or a URL without its query
	log    *slog.Logger
	client *http.Client // nil if the keys are in a file

	state atomic.Pointer[state]
	wake  chan struct{} // tells Run that pending was asked for
	told  string        // what was last logged of keys that aren't used; Run's alone

	mu      sync.Mutex
	pending chan struct{} // closed when the fetch that is wanted or under way ends; nil without one
	asked   time.Time     // when a token last caused a fetch
	waiting int           // calls of Keys that wait for pending
	ended   bool          // Run has returned
	fetched time.Time     // when the keys were last fetched
	failure error         // of the last fetch
}

// state is what Keys answers from. It isn't changed once it is stored.
type state struct {
	keys       []tenancy.PublicKey
	byID       map[string][]tenancy.PublicKey
	generation uint64
}

// Keys returns the keys that may have signed a token with this "kid", [tenancy.MaxKeys] at
// most. Treat them as read-only.
//
// The keys of a PEM or secret file match as [Options.File] says. Of a JSON Web Key Set
// the keys with this "kid" match, several if they share it, in the set's order; if there
// is none, those that have no "kid". A token without a "kid" matches every key if there
// are no more than that, and else none: it should have named one (OpenID Connect Core 1.0,
// section 10.1).
//
// If nothing has this "kid" and the keys come from a URL, Keys waits for a fetch that is
// under way, or that it asks for itself: see the package's documentation for the bounds.
func (s *Set) Keys(kid string) []tenancy.PublicKey {
	found := s.match(kid)
	if len(found) > 0 || s.client == nil || kid == "" && s.count() > 0 {
		return found
	}
	done := s.ask()
	if done == nil {
		return nil
	}
	defer s.leave()
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	return s.match(kid)
}

func (s *Set) match(kid string) []tenancy.PublicKey {
	now := s.state.Load()
	if s.kind == kindPEM || s.kind == kindSecret {
		if kid == "" || s.opts.ID == "" || kid == s.opts.ID {
			return now.keys
		}
		return nil
	}
	if kid != "" {
		if found := now.byID[kid]; len(found) > 0 {
			return found
		}
		return now.byID[""]
	}
	if len(now.keys) > tenancy.MaxKeys {
		return nil
	}
	return now.keys
}

// Generation changes whenever a key is taken away or replaced; when keys are only added
// it stays.
func (s *Set) Generation() uint64 { return s.state.Load().generation }

// put makes keys those of the set.
func (s *Set) put(keys []tenancy.PublicKey) {
	byID := map[string][]tenancy.PublicKey{}
	for i := range keys {
		keys[i].Tenant = s.opts.Tenant
		byID[keys[i].ID] = append(byID[keys[i].ID], keys[i])
	}
	before := s.state.Load()
	generation := before.generation
	for _, old := range before.keys {
		if !slices.ContainsFunc(keys, func(k tenancy.PublicKey) bool { return same(k, old) }) {
			generation++
			break
		}
	}
	s.state.Store(&state{keys: keys, byID: byID, generation: generation})
}

// Adopt takes the keys of old, if it has any and both fetch from the same place, so that a
// set that replaces it needn't start with none. Call it before the set is used.
func (s *Set) Adopt(old *Set) {
	if s.client == nil || old == nil || s.kind != old.kind || s.opts.JWKSURL != old.opts.JWKSURL || s.opts.Issuer != old.opts.Issuer {
		return
	}
	had := old.state.Load()
	if len(had.keys) == 0 {
		return
	}
	s.state.Store(&state{generation: had.generation})
	s.put(slices.Clone(had.keys))
	old.mu.Lock()
	defer old.mu.Unlock()
	s.fetched, s.asked = old.fetched, old.asked
}

// Paths returns the files whose change means that the set should be opened anew.
func (s *Set) Paths() []string {
	return slices.DeleteFunc([]string{s.opts.File, s.opts.SecretFile, s.opts.JWKSFile, s.opts.CAFile},
		func(path string) bool { return path == "" })
}

// Status says how a set is doing.
type Status struct {
	Source  string    // which option says where keys are, such as "jwks_url"
	Place   string    // the path, or the URL without its query
	Keys    int       // how many there are
	Fetched time.Time // when a URL last gave good keys; zero: never, or they are in a file
	Err     error     // why the last fetch failed, if it did
}

// Status returns how the set is doing.
func (s *Set) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Status{Source: string(s.kind), Place: s.place, Keys: s.count(), Fetched: s.fetched, Err: s.failure}
}

// Run fetches the keys of a URL, and again each [Options.Refresh], until ctx ends. For a
// set of a file it only waits for that. It is called once, and returns nil.
func (s *Set) Run(ctx context.Context) error {
	defer s.opts.Metrics.follow(s)()
	if s.client == nil {
		<-ctx.Done()
		return nil
	}
	defer s.end()
	s.refresh(ctx)
	return nil
}

// count is how many keys there are; a secret is one, whatever it is for.
func (s *Set) count() int {
	if s.kind == kindSecret {
		return 1
	}
	return len(s.state.Load().keys)
}
