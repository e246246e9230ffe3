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
	"strconv"
	"strings"
	"time"

	"github.com/invoscope/invoscope/relay/invocation"
)

const (
	basePath = "/api/invoscope/v1/invocations"
	// answerLimit bounds a question that has one answer. A timeline may take longer.
	answerLimit = time.Minute
	// maxAnswer and maxEvent bound what is read into memory, in bytes: a page of
	// invocations, and one event of a timeline with its log line.
	maxAnswer = 64 << 20
	maxEvent  = 16 << 20
	// pageSize is what one request of a listing asks for at most.
	pageSize = 1000
)

// Client asks as the tenant of its token.
type Client struct {
	URL   string // of the public port, such as http://127.0.0.1:3100
	Token string
	HTTP  *http.Client
}

// StatusError is an answer that the server refused to give.
type StatusError struct {
	Status  int
	Message string // the server's; may be empty
	// known is set when the message is an API's of Invoscope, and not of what else
	// listens there.
	known bool
}

// Error is the server's message, or the status.
func (e *StatusError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("the server answered %d: %s", e.Status, e.Message)
}

// IsNotFound reports whether err says that Invoscope doesn't know what was asked for.
func IsNotFound(err error) bool {
	var refused *StatusError
	return errors.As(err, &refused) && refused.Status == http.StatusNotFound && refused.known
}

// List yields the invocations that the API's parameters query select, page by page,
// at most limit unless it is 0.
func (c *Client) List(ctx context.Context, query url.Values, limit int) iter.Seq2[invocation.Summary, error] {
	return func(yield func(invocation.Summary, error) bool) {
		left, query := limit, cloneValues(query)
		for {
			size := pageSize
			if limit > 0 {
				size = min(size, left)
			}
			query.Set("limit", strconv.Itoa(size))
			var page invocation.Page
			if err := c.answer(ctx, basePath, query, &page); err != nil {
				yield(invocation.Summary{}, err)
				return
			}
			for _, s := range page.Invocations {
				if !yield(s, nil) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
			if page.Next == "" {
				return
			}
			query.Set("cursor", page.Next)
		}
	}
}

// Get returns what is known of an invocation.
func (c *Client) Get(ctx context.Context, id string) (invocation.Invocation, error) {
	var found invocation.Invocation
	err := c.answer(ctx, basePath+"/"+url.PathEscape(id), nil, &found)
	return found, err
}

// Item is an event of a timeline or, as the last one, its end.
type Item struct {
	Raw   []byte // the line of NDJSON, without its newline; valid until the next item
	Event *invocation.Event
	End   *invocation.End
}

// Timeline yields the events of an invocation in their order, page by page, and an
// end after each page. A stream that breaks off before its end is an error.
func (c *Client) Timeline(ctx context.Context, id string, query url.Values) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		query := cloneValues(query)
		for {
			body, err := c.get(ctx, basePath+"/"+url.PathEscape(id)+"/timeline", query, "application/x-ndjson")
			if err != nil {
				yield(Item{}, err)
				return
			}
			end, more := items(body, yield)
			if !more || end.Next == "" {
				return
			}
			query.Set("cursor", end.Next)
		}
	}
}

// items yields what body holds. It returns false when there is nothing to come: the
// consumer has enough, or there was an error, which is yielded.
func items(body io.ReadCloser, yield func(Item, error) bool) (end invocation.End, more bool) {
	defer body.Close()
	lines := newLines(body)
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			yield(Item{}, fmt.Errorf("read the timeline: %w", err))
			return end, false
		}
		item, err := decode(line)
		if err != nil {
			yield(Item{}, err)
			return end, false
		}
		if !yield(item, nil) {
			return end, false
		}
		if item.End != nil {
			return *item.End, true
		}
	}
}

func decode(line []byte) (Item, error) {
	var either struct {
		invocation.Event
		invocation.End
	}
	if err := json.Unmarshal(line, &either); err != nil {
		return Item{}, fmt.Errorf("read the timeline: %w", err)
	}
	switch {
	case either.Kind == "":
		return Item{Raw: line, End: &either.End}, nil
	case either.Span == nil && either.Log == nil:
		return Item{}, fmt.Errorf("read the timeline: an event of the kind %q without what it is", either.Kind)
	}
	return Item{Raw: line, Event: &either.Event}, nil
}

// answer decodes the answer to a question into v.
func (c *Client) answer(ctx context.Context, path string, query url.Values, v any) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	body, err := c.get(ctx, path, query, "application/json")
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(v); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// get returns the body of an answer whose status is 200.
func (c *Client) get(ctx context.Context, path string, query url.Values, accept string) (io.ReadCloser, error) {
	return c.send(ctx, http.MethodGet, path, query, accept)
}

// send is get with another method.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, accept string) (io.ReadCloser, error) {
	address := strings.TrimSuffix(c.URL, "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, fmt.Errorf("ask Invoscope: %w", err)
	}
	req.Header.Set("Accept", accept)
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask Invoscope: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// refusal reads the error that the invocation API, or what stands before it, sent.
func refusal(resp *http.Response) error {
	const maxMessage = 4 << 10
	e := &StatusError{Status: resp.StatusCode}
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err != nil {
		return e
	}
	var body struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(content, &body) == nil && body.Error != "" {
		e.Message, e.known = body.Error, true
	} else {
		e.Message = strings.TrimSpace(string(content))
	}
	return e
}

func cloneValues(v url.Values) url.Values {
	clone := url.Values{}
	for name, all := range v {
		clone[name] = append([]string(nil), all...)
	}
	return clone
}
