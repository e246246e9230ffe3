package roster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/invoscope/invoscope/tenancy"
)

// Roster is the tenants that there are. It is safe for concurrent use.
type Roster struct {
	file *os.File
	view atomic.Pointer[view]

	mu    sync.Mutex
	seen  map[string]bool // those in the file
	named []string
}

// view is what readers see. It doesn't change.
type view struct {
	seen map[string]bool
	all  []string
}

// Open reads the roster at path, which is made if it is missing, and of which only
// one Roster at a time may be open.
func Open(path string) (*Roster, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the roster of tenants: %w", err)
	}
	r := &Roster{file: f, seen: map[string]bool{}}
	if err := r.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("read the roster of tenants: %w", err), f.Close())
	}
	r.publish()
	return r, nil
}

func (r *Roster) read() error {
	all, err := io.ReadAll(r.file)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(all, '\n') + 1
	for line := range bytes.Lines(all[:whole]) {
		if name := string(line[:len(line)-1]); tenancy.ValidTenant(name) == nil {
			r.seen[name] = true
		}
	}
	if whole < len(all) { // cut off by a crash: the next name begins a line of its own
		return r.file.Truncate(int64(whole))
	}
	return nil
}

// Name replaces the tenants that are known without having written.
func (r *Roster) Name(tenants ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.named = slices.Clone(tenants)
	r.publish()
}

// Seen notes that a tenant writes. It costs next to nothing for one that is known.
// One that can't be written down is known until the end of the process.
func (r *Roster) Seen(tenant string) error {
	if r.view.Load().seen[tenant] {
		return nil
	}
	if err := tenancy.ValidTenant(tenant); err != nil {
		return fmt.Errorf("note a tenant: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[tenant] {
		return nil
	}
	r.seen[tenant] = true
	r.publish()
	// One write: a name is there or it isn't, and a crash loses it until it writes again.
	if _, err := r.file.WriteString(tenant + "\n"); err != nil {
		return fmt.Errorf("note a tenant: %w", err)
	}
	return nil
}

// Tenants returns all tenants, sorted. The slice must not be changed.
func (r *Roster) Tenants() []string { return r.view.Load().all }

// publish makes readers see what is known; mu is held.
func (r *Roster) publish() {
	all := slices.AppendSeq(slices.Clone(r.named), maps.Keys(r.seen))
	slices.Sort(all)
	r.view.Store(&view{seen: maps.Clone(r.seen), all: slices.Compact(all)})
}

// Close closes the file.
func (r *Roster) Close() error { return r.file.Close() }
