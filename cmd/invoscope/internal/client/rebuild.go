package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"

	"github.com/invoscope/invoscope/relay/rebuild"
)

const rebuildPath = "/api/invoscope/v1/index/rebuild"

// Rebuild has the invocation index rebuilt from the traces of the last while, such
// as 36h or 14d, and yields how far it is.
func (c *Client) Rebuild(ctx context.Context, since string) iter.Seq2[rebuild.Progress, error] {
	return func(yield func(rebuild.Progress, error) bool) {
		body, err := c.send(ctx, http.MethodPost, rebuildPath, url.Values{"since": {since}}, "application/x-ndjson")
		if err != nil {
			yield(rebuild.Progress{}, err)
			return
		}
		defer body.Close()
		for dec := json.NewDecoder(body); ; {
			var line struct {
				rebuild.Progress
				Error string `json:"error"`
			}
			err := dec.Decode(&line)
			switch {
			case errors.Is(err, io.EOF):
				err = io.ErrUnexpectedEOF
			case err == nil && line.Error != "":
				err = errors.New(line.Error)
			}
			if err != nil {
				yield(line.Progress, fmt.Errorf("rebuild the index: %w", err))
				return
			}
			if !yield(line.Progress, nil) || line.Done {
				return
			}
		}
	}
}
