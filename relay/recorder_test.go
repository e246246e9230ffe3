package relay

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/invoscope/invoscope/tenancy/audit"
)

// recorder keeps what is audited.
type recorder struct {
	mu      sync.Mutex
	records []audit.Record
	more    chan struct{}
}

func newRecorder() *recorder { return &recorder{more: make(chan struct{}, 1)} }

func (r *recorder) Record(rec *audit.Record) {
	r.mu.Lock()
	r.records = append(r.records, *rec)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// take returns what was recorded since it was asked last.
func (r *recorder) take() []audit.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.records
	r.records = nil
	return taken
}

// next waits for a record.
func (r *recorder) next(t *testing.T) audit.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		r.mu.Lock()
		if len(r.records) > 0 {
			first := r.records[0]
			r.records = r.records[1:]
			r.mu.Unlock()
			return first
		}
		r.mu.Unlock()
		select {
		case <-r.more:
		case <-ctx.Done():
			t.Fatal("nothing was audited")
		}
	}
}
