package invocation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/fault"
)

// Options are what an [API] reads.
type Options struct {
	Index       index.Reader
	Loki, Tempo engine.Engine
	// TenantKey is the label that ingest puts on every stream.
	TenantKey string
	// GrafanaURL is where links lead; empty if there is no Grafana.
	GrafanaURL string
	// Now is the time by which "since" is meant, and what still runs ends.
	Now func() time.Time
}

// API answers the invocation API's requests. Its methods are handlers: an error
// means that nothing has been written.
type API struct {
	opts   Options
	limits limits
	stall  time.Duration // maxStall, shorter in tests
}

// New returns an API.
func New(o Options) *API { return &API{opts: o, stall: maxStall} }

// Show answers what is known of one invocation.
func (a *API) Show(w http.ResponseWriter, r *http.Request, tenant string) error {
	id, _, err := parse(r)
	if err != nil {
		return err
	}
	rec, err := a.record(r.Context(), tenant, id)
	if err != nil {
		return err
	}
	rel, err := a.opts.Index.Relations(r.Context(), tenant, &rec, maxCallees)
	if err != nil {
		return indexFault(err)
	}
	return writeJSON(w, facts(&rec, &rel))
}

// maxCallees bounds the callees that one answer lists.
const maxCallees = 1000

// record returns what the index knows of an invocation.
func (a *API) record(ctx context.Context, tenant string, id correlate.InvocationID) (index.Record, error) {
	rec, err := a.opts.Index.Get(ctx, tenant, id)
	if errors.Is(err, index.ErrNotFound) {
		return rec, fault.New(fault.NotFound, "nothing is known of the invocation "+id.String())
	}
	if err != nil {
		return rec, indexFault(err)
	}
	return rec, nil
}

// indexFault is an index that can't answer, as a client sees it.
func indexFault(err error) error {
	return &fault.Error{Kind: fault.Unavailable, Message: "the invocation index can't be asked, try again", RetryAfter: retryUnavailable, Cause: err}
}

func writeJSON(w http.ResponseWriter, v any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // links are for people, too
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body.Bytes()) // a client that has gone away can't be told
	return nil
}
