package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/operator"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// checkpoints keeps how far each file was read, one file per key, replaced
// atomically. It saves nothing before all lines read so far are stored, and
// nothing ever again once some can't be: the last saved state is then the one
// to resume from. Like its only caller it works from one goroutine at a time.
type checkpoints struct {
	dir     string
	stored  func() error
	holds   func() map[file]hold
	last    map[string][]byte // what is on disk
	latest  map[string][]byte // what Set was called with
	failing bool              // the last save failed, and was reported
	log     *slog.Logger
}

var _ operator.Persister = (*checkpoints)(nil)

func newCheckpoints(dir string, stored func() error, log *slog.Logger) *checkpoints {
	return &checkpoints{dir: dir, stored: stored, last: map[string][]byte{}, latest: map[string][]byte{}, log: log}
}

// Get returns nil for a key that was never set.
func (c *checkpoints) Get(_ context.Context, key string) ([]byte, error) {
	value, err := os.ReadFile(c.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	c.last[key] = value
	return value, nil
}

// Set saves value if it differs from what is saved: it is called several times
// a second even if no file grows. Where lines still wait for others of their record,
// the file's offset is set back to the record's beginning, so that after a kill it is
// read again whole.
func (c *checkpoints) Set(_ context.Context, key string, value []byte) error {
	c.latest[key] = value
	var held map[file]hold
	if c.holds != nil {
		held = c.holds() // before stored: what waits now may be added meanwhile
	}
	value, ok := setBack(value, held)
	if !ok || c.stored() != nil || bytes.Equal(value, c.last[key]) {
		return nil
	}
	err := renameio.WriteFile(c.path(key), value, 0o600)
	if err != nil {
		if !c.failing {
			c.log.Warn("cannot save how far files were read; shipping goes on, and sends again from the last save after a restart", "error", err)
		}
		c.failing = true
		return nil
	}
	c.failing = false
	c.last[key] = bytes.Clone(value)
	return nil
}

// catchUp saves the latest values, once no lines wait any more.
func (c *checkpoints) catchUp() {
	for key, value := range c.latest {
		_ = c.Set(context.Background(), key, value) // it reports errors
	}
}

// Delete removes a key.
func (c *checkpoints) Delete(_ context.Context, key string) error {
	delete(c.last, key)
	if err := os.Remove(c.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete checkpoint: %w", err)
	}
	return nil
}

// Batch does the operations one after the other.
func (c *checkpoints) Batch(ctx context.Context, ops ...*storage.Operation) error {
	var errs []error
	for _, op := range ops {
		var err error
		switch op.Type {
		case storage.Get:
			op.Value, err = c.Get(ctx, op.Key)
		case storage.Set:
			err = c.Set(ctx, op.Key, op.Value)
		case storage.Delete:
			err = c.Delete(ctx, op.Key)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *checkpoints) path(key string) string {
	return filepath.Join(c.dir, url.PathEscape(key)+".checkpoint")
}
