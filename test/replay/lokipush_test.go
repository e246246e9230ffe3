//go:build integration

package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"

	"github.com/invoscope/invoscope/test/harness"
)

// pushCase is one push request: the good line "good" of a stream that is labelled
// with the case's name, and whatever else there is.
type pushCase struct {
	json      bool // whether body is JSON
	body      []byte
	status    int      // of Loki, and ours
	ours      int      // when it differs
	lines     []string // that Loki stores under the case's label
	oursLines []string // when they differ
}

// pushCases are named for what they send. Where we differ, the comment says why.
func pushCases(t *testing.T, now time.Time) map[string]pushCase {
	entry := func(line string, at time.Time, meta ...push.LabelAdapter) push.Entry {
		return push.Entry{Timestamp: at, Line: line, StructuredMetadata: meta}
	}
	label := func(name, value string) push.LabelAdapter { return push.LabelAdapter{Name: name, Value: value} }
	good := func(name string, more ...push.Entry) push.Stream {
		return push.Stream{Labels: fmt.Sprintf(`{case=%q}`, name), Entries: append([]push.Entry{entry("good", now)}, more...)}
	}
	bad := func(labels string) push.Stream {
		return push.Stream{Labels: labels, Entries: []push.Entry{entry("x", now)}}
	}
	encode := func(streams ...push.Stream) []byte {
		raw, err := (&push.PushRequest{Streams: streams}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return s2.EncodeSnappy(nil, raw)
	}
	values := func(name, v string) []byte {
		return fmt.Appendf(nil, `{"streams":[{"stream":{"case":%q},"values":[["%d","good"]%s]}]}`, name, now.UnixNano(), v)
	}
	stamp := strconv.FormatInt(now.UnixNano(), 10)
	one, two := []string{"good"}, []string{"good", "x"}
	return map[string]pushCase{
		"good":               {body: encode(good("good", entry("x", now))), status: 204, lines: two},
		"an empty line":      {body: encode(good("an empty line", entry("", now))), status: 204, lines: []string{"", "good"}},
		"invalid UTF-8 line": {body: encode(good("invalid UTF-8 line", entry("\xff", now))), status: 204, lines: []string{"good", "\ufffd"}},
		"invalid UTF-8 meta": {body: encode(good("invalid UTF-8 meta", entry("x", now, label("k\xff", "\xff")))), status: 204, lines: two},
		"a dotted name":      {body: encode(good("a dotted name", entry("x", now, label("a.b", "v")))), status: 204, lines: two},
		"a name twice":       {body: encode(good("a name twice", entry("x", now, label("k", "1"), label("k", "2")))), status: 204, lines: two},
		"an empty value":     {body: encode(good("an empty value", entry("x", now, label("k", "")))), status: 204, lines: two},
		"no labels":          {body: encode(bad(`{}`), good("no labels")), status: 204, lines: one},
		"a label twice":      {body: encode(bad(`{a="1",a="2"}`), good("a label twice")), status: 400, lines: one},
		"many labels":        {body: encode(bad(manyLabels(41)), good("many labels")), status: 400, lines: one},
		"a long value":       {body: encode(bad(`{a="`+strings.Repeat("x", 5000)+`"}`), good("a long value")), status: 400, lines: one},
		"a long name":        {body: encode(bad(`{`+strings.Repeat("x", 1100)+`="a"}`), good("a long name")), status: 400, lines: one},
		"no streams":         {body: encode(), status: 422},
		"no entries":         {body: encode(push.Stream{Labels: `{case="no entries"}`}), status: 204},
		"not snappy":         {body: []byte("nonsense"), status: 400},
		"an empty body":      {status: 400},
		"not a push request": {body: s2.EncodeSnappy(nil, []byte("\xff\xff\xff")), status: 400},
		"JSON":               {json: true, body: values("JSON", `,["`+stamp+`","x",{"k":"v"}]`), status: 204, lines: two},
		"JSON, a number":     {json: true, body: values("JSON, a number", `,[`+stamp+`,"x"]`), status: 400},
		"JSON, no time":      {json: true, body: values("JSON, no time", `,["yesterday","x"]`), status: 400},
		"JSON, bad metadata": {json: true, body: values("JSON, bad metadata", `,["`+stamp+`","x",{"k":1}]`), status: 400},
		"JSON, bad line":     {json: true, body: values("JSON, bad line", `,["`+stamp+`",5]`), status: 400},
		"JSON, cut off":      {json: true, body: values("JSON, cut off", ``)[:40], status: 400},
		"JSON, no streams":   {json: true, body: []byte(`{}`), status: 422},
		"JSON, no values":    {json: true, body: []byte(`{"streams":[{"stream":{"case":"JSON, no values"},"values":[]}]}`), status: 204},
		"JSON, no request":   {json: true, status: 400},

		// One bad stream costs Loki the whole request.
		"bad labels":            {body: encode(bad(`{a=b}`), good("bad labels")), status: 400, oursLines: one},
		"invalid UTF-8 label":   {body: encode(bad("{a=\"\xff\"}"), good("invalid UTF-8 label")), status: 400, oursLines: one},
		"JSON, bad label":       {json: true, body: fmt.Appendf(nil, `{"streams":[{"stream":{"case":"JSON, bad label"},"values":[["%s","good"]]},{"stream":{"a-b":"c"},"values":[["%s","x"]]}]}`, stamp, stamp), status: 400, oursLines: one},
		"metadata without name": {body: encode(good("metadata without name", entry("x", now, label("", "v")))), status: 500, ours: 400, oursLines: one},
		"metadata of nothing":   {body: encode(good("metadata of nothing", entry("x", now, label("__", "v")))), status: 500, ours: 400, oursLines: one},
		// It has no time, so it has the one before; in Loki it is too old.
		"no time": {body: encode(good("no time", push.Entry{Line: "x"})), status: 400, ours: 204, lines: one, oursLines: two},
		// It would never be found: Loki can't answer a query that meets it.
		"a quoted name": {body: encode(push.Stream{Labels: `{"a.b"="c"}`, Entries: []push.Entry{entry("x", now)}}), status: 204, ours: 400},
		// A client that sends neither name nor line has sent something else.
		"JSON, a value of one": {json: true, body: values("JSON, a value of one", `,["`+stamp+`"]`), status: 204, ours: 400, lines: []string{"", "good"}, oursLines: []string{}},
	}
}

func manyLabels(n int) string {
	pairs := make([]string, n)
	for i := range pairs {
		pairs[i] = fmt.Sprintf(`l%d="x"`, i)
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// TestLokiPushAnswersAsLoki pushes the same to the real Loki and through
// Invoscope.
func TestLokiPushAnswersAsLoki(t *testing.T) {
	d := harness.Start(t)
	loki := lokiDirectly(d.DataDir)
	defer loki.CloseIdleConnections()
	token, err := d.Client().Token()
	if err != nil {
		t.Fatal(err)
	}
	direct := lokiAPI{loki, "http://loki", http.Header{"X-Scope-OrgID": {"direct"}}}
	relayed := lokiAPI{http.DefaultClient, d.HTTP, http.Header{"Authorization": {"Bearer " + token}}}
	cases := pushCases(t, time.Now().Add(-time.Minute))
	for name, c := range cases {
		ours := c.ours
		if ours == 0 {
			ours = c.status
		}
		if status, body := direct.push(t, c); status != c.status {
			t.Errorf("%s: Loki answers %d %q, want %d", name, status, body, c.status)
		}
		if status, body := relayed.push(t, c); status != ours {
			t.Errorf("%s: we answer %d %q, want %d", name, status, body, ours)
		}
	}
	for name, c := range cases {
		ours := c.oursLines
		if ours == nil {
			ours = c.lines
		}
		harness.Poll(t, visibleLimit, name, func() error {
			return errors.Join(direct.linesAre(t, name, c.lines), relayed.linesAre(t, name, ours))
		})
	}
}

// lokiAPI is a Loki's API and how to be let in.
type lokiAPI struct {
	client *http.Client
	url    string
	header http.Header
}

func (l lokiAPI) push(t *testing.T, of pushCase) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url+"/loki/api/v1/push", bytes.NewReader(of.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = l.header.Clone()
	req.Header.Set("Content-Type", "application/x-protobuf")
	if of.json {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := l.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// linesAre returns an error unless just these lines are found under a case's label.
func (l lokiAPI) linesAre(t *testing.T, name string, want []string) error {
	t.Helper()
	query := l.url + "/loki/api/v1/query_range?" + url.Values{
		"query": {fmt.Sprintf(`{case=%q}`, name)}, "start": {strconv.FormatInt(time.Now().Add(-time.Hour).UnixNano(), 10)},
		"end": {strconv.FormatInt(time.Now().Add(30*time.Hour).UnixNano(), 10)},
	}.Encode()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, query, nil)
	if err != nil {
		return err
	}
	req.Header = l.header
	resp, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Data struct {
			Result []struct{ Values [][2]string }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return errors.Join(err, errors.New(resp.Status))
	}
	var got []string
	for _, stream := range answer.Data.Result {
		for _, value := range stream.Values {
			got = append(got, value[1])
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
		return fmt.Errorf("%s, %s (-want +got):\n%s", l.url, name, diff)
	}
	return nil
}
