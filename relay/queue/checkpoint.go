package queue

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// checkpoint is how far each tenant has been delivered: every record of the
// tenant up to and including that sequence number. It lags behind; what it
// misses is delivered again.
type checkpoint struct {
	Delivered map[string]uint64 `json:"delivered"`
}

func readCheckpoint(path string) (checkpoint, error) {
	c := checkpoint{Delivered: map[string]uint64{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the checkpoint: %w", err)
	}
	if err := json.Unmarshal(b, &c); err != nil || c.Delivered == nil {
		return checkpoint{Delivered: map[string]uint64{}}, fmt.Errorf("read the checkpoint %s: %w", path, cmp.Or(err, errors.New("it is empty")))
	}
	return c, nil
}

// write replaces the checkpoint. It isn't synced, which would hold up the log's own
// syncs: the death of the process can't hurt it, and one that a power failure
// spoils only means that more is delivered again.
func (c checkpoint) write(path string) error {
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode the checkpoint: %w", err)
	}
	part := path + ".part"
	if err := os.WriteFile(part, b, 0o600); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	return nil
}
