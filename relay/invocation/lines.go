package invocation

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
)

// metaSpan is the structured metadata in which Loki has the span of an OTLP record.
const metaSpan = "span_id"

const (
	// linesPerRequest is how many lines Loki is asked for at once. It has to be
	// below max_entries_limit_per_query, 5000 by default.
	linesPerRequest = 1000
	// maxWindow is the longest time range that Loki is asked for: its
	// max_query_length is 721 hours by default.
	maxWindow = 30 * 24 * time.Hour
)

// line is a log line as Loki has it.
type line struct {
	at     int64 // nanoseconds since 1970
	stream *stream
	meta   map[string]string
	text   string
}

// stream is what lines have in common.
type stream struct {
	labels map[string]string
	key    string // the labels, in a fixed order
}

// identity is the same for a line however often it is read, in hexadecimal. Loki
// keeps no two lines of one stream with the same time and text.
func (l *line) identity() string {
	h := fnv.New128a()
	_, _ = h.Write([]byte(l.stream.key)) // never fails
	_, _ = h.Write([]byte{0xff})
	_, _ = h.Write([]byte(l.text))
	return hex.EncodeToString(h.Sum(nil))
}

// selector is the LogQL of all of a tenant's streams.
func selector(tenantKey, tenant string) string { return "{" + tenantKey + "=`" + tenant + "`}" }

// lineQuery is the LogQL of the lines of invocations, and of those that name one
// of the traces. Ids have no characters that mean something to LogQL.
func lineQuery(selector string, ids []correlate.InvocationID, traces []index.TraceID) string {
	var b strings.Builder
	b.WriteString(selector + " | " + correlate.MetaInvocationID + "=~`")
	for i, id := range ids {
		if i > 0 {
			b.WriteByte('|')
		}
		b.WriteString(id.String())
	}
	b.WriteByte('`')
	for i, id := range traces {
		if i == 0 {
			b.WriteString(" or " + correlate.MetaTraceID + "=~`")
		} else {
			b.WriteByte('|')
		}
		b.WriteString(id.String())
	}
	if len(traces) > 0 {
		b.WriteByte('`')
	}
	return b.String()
}

// lineReader reads the lines that a query finds in a time range, in order and a
// batch at a time.
type lineReader struct {
	api    *API
	tenant string
	query  string
	from   int64 // what is before was read, in nanoseconds since 1970
	to     int64 // exclusive
	limit  int   // of lines in a request
	// asked counts the requests.
	asked int
	// crowded is set when Loki has more lines of one nanosecond than it tells.
	crowded bool
}

// next returns the next batch: all lines of the times that it covers. It is empty
// and done is true at the end; it may be empty before.
func (r *lineReader) next(ctx context.Context) (batch []line, done bool, err error) {
	if r.from >= r.to {
		return nil, true, nil
	}
	end := min(r.to, r.from+int64(maxWindow))
	batch, err = r.read(ctx, end)
	if err != nil {
		return nil, false, err
	}
	if len(batch) < r.limit {
		r.from = end
		return batch, false, nil
	}
	// There may be more of the last time than the request had room for.
	last := batch[len(batch)-1].at
	if batch[0].at == last {
		r.crowded = true
		r.from = last + 1
		return batch, false, nil
	}
	whole, _ := slices.BinarySearchFunc(batch, last, func(l line, at int64) int { return cmp.Compare(l.at, at) })
	r.from = last
	return batch[:whole], false, nil
}

// read asks for the lines until end, and for fewer of them when they are too long
// to be read at once.
func (r *lineReader) read(ctx context.Context, end int64) ([]line, error) {
	for {
		r.asked++
		body, err := ask(ctx, r.api.opts.Loki, r.tenant, question{
			path: "/loki/api/v1/query_range",
			query: url.Values{
				"query": {r.query}, "direction": {"forward"}, "limit": {strconv.Itoa(r.limit)},
				"start": {strconv.FormatInt(r.from, 10)}, "end": {strconv.FormatInt(end, 10)},
			},
			header: http.Header{"X-Loki-Response-Encoding-Flags": {"categorize-labels"}},
			most:   maxAnswer,
		})
		if errors.Is(err, errTooLarge) && r.limit > 1 {
			r.limit /= 2
			continue
		}
		if err != nil {
			return nil, err
		}
		return decodeLines(body)
	}
}

// lokiAnswer is Loki's answer to a range query, with labels by category.
type lokiAnswer struct {
	Data struct {
		ResultType string `json:"resultType"`
		Result     []struct {
			Stream map[string]string `json:"stream"`
			Values []lokiEntry       `json:"values"`
		} `json:"result"`
	} `json:"data"`
}

// lokiEntry is [time, line] or [time, line, {structuredMetadata, parsed}].
type lokiEntry struct {
	at   int64
	text string
	meta map[string]string
}

// UnmarshalJSON implements [json.Unmarshaler].
func (e *lokiEntry) UnmarshalJSON(b []byte) error {
	var at string
	var more struct {
		Metadata map[string]string `json:"structuredMetadata"`
	}
	if err := json.Unmarshal(b, &[]any{&at, &e.text, &more}); err != nil {
		return err
	}
	e.meta = more.Metadata
	var err error
	e.at, err = strconv.ParseInt(at, 10, 64)
	return err
}

// decodeLines returns the lines of an answer by time, then by stream, then as Loki
// has them.
func decodeLines(body []byte) ([]line, error) {
	var answer lokiAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("decode Loki's answer: %w", err)
	}
	if answer.Data.ResultType != "streams" {
		return nil, fmt.Errorf("decode Loki's answer: it holds %q", answer.Data.ResultType)
	}
	var lines []line
	for _, result := range answer.Data.Result {
		s := &stream{labels: result.Stream, key: labelsKey(result.Stream)}
		for _, e := range result.Values {
			lines = append(lines, line{at: e.at, stream: s, meta: e.meta, text: e.text})
		}
	}
	slices.SortStableFunc(lines, func(x, y line) int {
		if c := cmp.Compare(x.at, y.at); c != 0 {
			return c
		}
		return strings.Compare(x.stream.key, y.stream.key)
	})
	return lines, nil
}

func labelsKey(labels map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(name)
		b.WriteByte(0xfe) // in no UTF-8 text, like 0xff
		b.WriteString(labels[name])
		b.WriteByte(0xff)
	}
	return b.String()
}
