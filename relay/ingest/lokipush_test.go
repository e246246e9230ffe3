package ingest

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"

	"github.com/invoscope/invoscope/relay/fault"
)

func manyLabels(n int) string {
	pairs := make([]string, n)
	for i := range pairs {
		pairs[i] = fmt.Sprintf(`l%d="x"`, i)
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func TestLokiPushAnswers(t *testing.T) {
	good := protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{pushed("x")}})
	goodJSON := []byte(`{"streams":[{"stream":{"a":"b"},"values":[["5000000006","x"],["7","y",{"k":"v"}]]}]}`)
	bomb := bytes.Repeat([]byte{0}, 10*maxBytes)
	for name, c := range map[string]struct {
		header http.Header
		body   []byte
		status int
		says   string
		stored int
	}{
		"protobuf":                {header("Content-Type", "application/x-protobuf"), good, 204, "", 1},
		"protobuf without a type": {header(), good, 204, "", 1},
		"protobuf, named snappy":  {header("Content-Encoding", "snappy"), good, 204, "", 1},
		"JSON":                    {header("Content-Type", "application/json"), goodJSON, 204, "", 1},
		"JSON with a charset":     {header("Content-Type", "application/json; charset=utf-8"), goodJSON, 204, "", 1},
		"JSON, gzip":              {header("Content-Type", "application/json", "Content-Encoding", "gzip"), zipped(t, goodJSON), 204, "", 1},
		"no entries":              {header(), protoPush(t, push.Stream{Labels: `{a="b"}`}), 204, "", 0},
		"no streams":              {header(), protoPush(t), 422, "at least one valid stream", 0},
		"no labels":               {header(), protoPush(t, push.Stream{Labels: `{}`, Entries: []push.Entry{pushed("x")}}), 204, "", 1},
		"bad labels":              {header(), protoPush(t, push.Stream{Labels: `{a=b}`, Entries: []push.Entry{pushed("x")}}), 400, "error parsing labels", 0},
		"a label twice":           {header(), protoPush(t, push.Stream{Labels: `{a="b",a="c"}`, Entries: []push.Entry{pushed("x")}}), 400, "a", 0},
		"good and bad labels": {header(), protoPush(t, push.Stream{Labels: `{a=b}`, Entries: []push.Entry{pushed("x")}},
			push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{pushed("x")}}), 400, "error parsing labels", 1},
		"not snappy":            {header(), []byte("nonsense"), 400, "snappy", 0},
		"not a push request":    {header(), s2.EncodeSnappy(nil, []byte("\xff\xff\xff")), 400, "push.PushRequest", 0},
		"broken JSON":           {header("Content-Type", "application/json"), goodJSON[:20], 400, "JSON", 0},
		"a time in JSON":        {header("Content-Type", "application/json"), []byte(`{"streams":[{"stream":{"a":"b"},"values":[["yesterday","x"]]}]}`), 400, "yesterday", 0},
		"a value of one":        {header("Content-Type", "application/json"), []byte(`{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}`), 400, "1 elements", 0},
		"an unknown encoding":   {header("Content-Encoding", "br"), good, 415, "br", 0},
		"a broken gzip":         {header("Content-Type", "application/json", "Content-Encoding", "gzip"), zipped(t, goodJSON)[:12], 400, "can't be read", 0},
		"too large":             {header(), bomb, 413, "larger", 0},
		"a gzip bomb":           {header("Content-Type", "application/json", "Content-Encoding", "gzip"), zipped(t, bomb), 413, "larger", 0},
		"a snappy bomb":         {header(), s2.EncodeSnappy(nil, bomb), 413, "larger", 0},
		"a zstd bomb":           {header("Content-Type", "application/json", "Content-Encoding", "zstd"), zstded(t, bomb), 413, "larger", 0},
		"a lie about its size":  {header(), []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 413, "larger", 0},
		"a smaller lie":         {header(), []byte{0x80, 0x80, 0x02, 0}, 400, "snappy", 0},
		"long labels":           {header(), protoPush(t, push.Stream{Labels: `{a="` + strings.Repeat("x", 50<<10) + `"}`, Entries: []push.Entry{pushed("x")}}), 400, "too long", 0},
		"too much metadata":     {header(), protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{pushed("x", make([]push.LabelAdapter, maxMetadata+1)...)}}), 400, "limit: '1000'", 0},
		"too many labels":       {header(), protoPush(t, push.Stream{Labels: manyLabels(maxLabels + 1), Entries: []push.Entry{pushed("x")}}), 400, "limit 38", 0},
		"an empty body":         {header(), nil, 400, "snappy", 0},
		"a forged tenant alone": {header(), protoPush(t, push.Stream{Labels: `{tenant="globex"}`, Entries: []push.Entry{pushed("x")}}), 204, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			w := do(f.LokiPush, fault.Plain, c.header, c.body)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%d %q, want %d and %q", w.Code, w.Body, c.status, c.says)
			}
			if got := len(f.logs.bodies); got != c.stored {
				t.Errorf("%d requests were stored, want %d", got, c.stored)
			}
		})
	}
}

func TestLokiPushStoresTheTenantAndTheFacts(t *testing.T) {
	line := `{"timestamp":"2026-11-23T03:14:03.205524Z","level":"DEBUG","fields":{"restate.invocation.id":"` + id + `"}}`
	f := newFixture(t)
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{
		Labels: `{tenant="globex", z="1", a="2", empty=""}`,
		Entries: []push.Entry{
			pushed(line),
			pushed(line, push.LabelAdapter{Name: "tenant", Value: "globex"}, push.LabelAdapter{Name: "restate_invocation_id", Value: "forged"}, push.LabelAdapter{Name: "level", Value: "debug"}),
			pushed("no facts", push.LabelAdapter{Name: "k", Value: "v"}),
		},
	}))
	if w.Code != http.StatusNoContent || f.logs.tenant != "acme" {
		t.Fatalf("%d %s, tenant %q", w.Code, w.Body, f.logs.tenant)
	}
	want := []push.Stream{{
		Labels: `{a="2", tenant="acme", z="1"}`,
		Entries: []push.Entry{
			pushed(line, push.LabelAdapter{Name: "restate_invocation_id", Value: id}, push.LabelAdapter{Name: "level", Value: "DEBUG"}),
			pushed(line, push.LabelAdapter{Name: "level", Value: "debug"}, push.LabelAdapter{Name: "restate_invocation_id", Value: id}),
			pushed("no facts", push.LabelAdapter{Name: "k", Value: "v"}),
		},
	}}
	if diff := cmp.Diff(want, f.logs.streams(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Loki rewrites the names of metadata: no spelling may replace what we found.
func TestOtherSpellingsOfOurMetadata(t *testing.T) {
	const id = "inv_19maBIcE9uRD5VdxZDBz4gJLsDVAIJjYnz"
	f := newFixture(t)
	do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: `{a="1"}`, Entries: []push.Entry{pushed("of "+id,
		push.LabelAdapter{Name: "restate.invocation.id", Value: "other"}, push.LabelAdapter{Name: "restate__invocation_id", Value: "other"},
		push.LabelAdapter{Name: "http.method", Value: "GET"})}}))
	want := push.LabelsAdapter{{Name: "http_method", Value: "GET"}, {Name: "restate_invocation_id", Value: id}}
	if diff := cmp.Diff(want, f.logs.streams(t)[0].Entries[0].StructuredMetadata); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
