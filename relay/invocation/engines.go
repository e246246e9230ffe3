package invocation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/invoscope/invoscope/relay/engine"
)

// maxAnswer bounds, in bytes, what is read of one answer of Loki, and of all of
// Tempo's together. A trace has at most 50 MB in an embedded Tempo.
const maxAnswer = 64 << 20

var (
	errNotThere = errors.New("the engine doesn't have it")
	errTooLarge = errors.New("the engine's answer is too large")
)

// question is a request to an engine.
type question struct {
	path   string
	query  url.Values
	header http.Header
	most   int // bytes of an answer
}

// ask returns the body of an engine's answer to a tenant. The error is
// errNotThere, errTooLarge, or says why the engine can't answer.
func ask(ctx context.Context, e engine.Engine, tenant string, q question) ([]byte, error) {
	resp, err := engine.Get(ctx, e, tenant, q.path+"?"+q.query.Encode(), q.header)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(q.most)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read an engine's answer: %w", err)
	case resp.StatusCode == http.StatusNotFound:
		return nil, errNotThere
	case resp.StatusCode != http.StatusOK:
		const quoted = 512
		return nil, fmt.Errorf("an engine answers %s: %s", resp.Status, strings.TrimSpace(string(body[:min(len(body), quoted)])))
	case len(body) > q.most:
		return nil, errTooLarge
	}
	return body, nil
}
