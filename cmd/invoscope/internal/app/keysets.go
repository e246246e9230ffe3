package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/filewatch"
	"github.com/invoscope/invoscope/tenancy/keyset"
)

// source is what makes one set of keys another one than before.
type source struct {
	issuer string
	config.KeySource
}

// runningSet is a set of keys that an issuer's tokens are verified with.
type runningSet struct {
	source
	*keyset.Set
	ca     filewatch.Files    // who vouches for its URL, as it was before it was opened
	cancel context.CancelFunc // nil until it is started
	done   chan struct{}
}

// opener opens the sets of a configuration.
type opener struct {
	log     *slog.Logger
	metrics *keyset.Metrics
	now     func() time.Time
}

// open returns the sets of an issuer. Those of before whose keys come over the network
// are kept as they are, or at least their keys are: a provider that is down during a
// reload costs nobody the access. Files are read anew.
func (o opener) open(i config.Issuer, path string, before []*runningSet) ([]*runningSet, error) {
	var sets []*runningSet
	var errs []error
	for n, k := range i.Keys {
		s := source{issuer: i.Issuer, KeySource: k}
		if kept := find(before, s); kept != nil {
			sets = append(sets, kept)
			continue
		}
		ca := filewatch.Look(k.CAFile)
		set, err := keyset.Open(keyset.Options{
			File: k.File, SecretFile: k.SecretFile, JWKSFile: k.JWKSFile, JWKSURL: string(k.JWKSURL), Discovery: k.Discovery,
			Issuer: i.Issuer, ID: k.ID, Tenant: k.Tenant, CAFile: k.CAFile, Refresh: time.Duration(k.Refresh),
			Log: o.log, Metrics: o.metrics, Now: o.now,
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.keys[%d]: %w", path, n, err))
			continue
		}
		for _, old := range before {
			set.Adopt(old.Set)
		}
		sets = append(sets, &runningSet{source: s, Set: set, ca: ca})
	}
	return sets, errors.Join(errs...)
}

// find returns the set of before that can stay: its keys are fetched, and who vouches
// for the server is the same.
func find(before []*runningSet, s source) *runningSet {
	i := slices.IndexFunc(before, func(r *runningSet) bool {
		return r.source == s && s.Remote() && len(r.ca.Changed()) == 0
	})
	if i < 0 {
		return nil
	}
	return before[i]
}

// start runs the set, unless it runs already.
func (r *runningSet) start(ctx context.Context) {
	if r.cancel != nil {
		return
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.done = make(chan struct{})
	go func() {
		defer close(r.done)
		_ = r.Run(ctx) // it ends with its context, and well
	}()
}

// stop ends the set and waits for it.
func (r *runningSet) stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	<-r.done
}
