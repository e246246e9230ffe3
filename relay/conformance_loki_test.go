package relay

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// compress returns a body as a Content-Encoding says.
func compress(t *testing.T, encoding string, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zstd":
		var err error
		if w, err = zstd.NewWriter(&out); err != nil {
			t.Fatal(err)
		}
	case "zlib":
		w = zlib.NewWriter(&out)
	case "flate":
		var err error
		if w, err = flate.NewWriter(&out, flate.DefaultCompression); err != nil {
			t.Fatal(err)
		}
	default:
		return body
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// decompress is the reverse.
func decompress(t *testing.T, encoding string, body []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	if encoding == "gzip" {
		r, err = gzip.NewReader(bytes.NewReader(body))
	} else {
		r, err = zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

type lokiRow struct {
	headers headers
	body    []byte
	want    string // status, Retry-After and body
	stored  string
}

func (row lokiRow) run(t *testing.T, fail error) {
	t.Helper()
	r, s := newTable(t)
	s.fail(fail)
	req := httptest.NewRequest(http.MethodPost, "/loki/api/v1/push", bytes.NewReader(row.body))
	req.Header = row.headers.header()
	req.Header.Set("Authorization", "Bearer good")
	w := httptest.NewRecorder()
	r.Public().ServeHTTP(w, req)
	got := fmt.Sprint(w.Code)
	if after := w.Header().Get("Retry-After"); after != "" {
		got += " retry " + after
	}
	got = strings.TrimSpace(got + " " + w.Body.String())
	if got != row.want {
		t.Errorf("answer %q\nwant   %q", got, row.want)
	}
	if got := s.String(); got != row.stored {
		t.Errorf("stored %q\nwant   %q", got, row.stored)
	}
}

const stored = `{a="b", tenant="acme"} 0s x`

func TestLokiPushConformance(t *testing.T) {
	stream := func(labels string, entries ...push.Entry) push.Stream {
		return push.Stream{Labels: labels, Entries: entries}
	}
	x := line(0, "x")
	good := encodePush(t, stream(`{a="b"}`, x))
	proto := headers{"Content-Type", "application/x-protobuf"}
	long := strings.Repeat("x", tableItem+1)
	bomb := s2.EncodeSnappy(nil, make([]byte, tableBytes+1))
	for name, row := range map[string]lokiRow{
		"good":                        {proto, good, "204", stored},
		"no content type":             {nil, good, "204", stored},
		"another content type":        {headers{"Content-Type", "text/plain"}, good, "204", stored},
		"Content-Encoding snappy":     {headers{"Content-Encoding", "snappy"}, good, "204", stored},
		"gzip around it":              {headers{"Content-Encoding", "gzip"}, compress(t, "gzip", good), "204", stored},
		"zstd around it":              {headers{"Content-Encoding", "ZSTD"}, compress(t, "zstd", good), "204", stored},
		"an empty line":               {proto, encodePush(t, stream(`{a="b"}`, line(0, ""))), "204", `{a="b", tenant="acme"} 0s `},
		"metadata":                    {proto, encodePush(t, stream(`{a="b"}`, line(0, "x", "k", "v", "tenant", "forged"))), "204", stored + " k=v"},
		"a forged tenant":             {proto, encodePush(t, stream(`{a="b",tenant="globex"}`, x)), "204", stored},
		"no labels":                   {proto, encodePush(t, stream(`{}`, x)), "204", `{tenant="acme"} 0s x`},
		"labels of nothing":           {proto, encodePush(t, stream(``, x)), "204", `{tenant="acme"} 0s x`},
		"no entries":                  {proto, encodePush(t, stream(`{a="b"}`)), "204", ""},
		"an invalid UTF-8 line":       {proto, encodePush(t, stream(`{a="b"}`, line(0, "\xff"))), "204", "{a=\"b\", tenant=\"acme\"} 0s \xff"},
		"an invalid UTF-8 value":      {proto, encodePush(t, stream(`{a="b"}`, line(0, "x", "k", "\xff"))), "204", stored + " k=\xff"},
		"no time":                     {proto, encodePush(t, stream(`{a="b"}`, line(-time.Second, "x"), push.Entry{Line: "y"})), "204", `{a="b", tenant="acme"} -1s x; {a="b", tenant="acme"} -999.999999ms y`},
		"too old":                     {proto, encodePush(t, stream(`{a="b"}`, x, line(-2*tableAge, "y"))), "204", stored + `; dead {a="b", tenant="acme"} -2h0m0s y`},
		"too far in the future":       {proto, encodePush(t, stream(`{a="b"}`, x, line(2*tableLead, "y"))), `400 entry for stream '{a="b", tenant="acme"}' has timestamp too new: 2026-11-24T12:02:00Z`, stored},
		"two in the future":           {proto, encodePush(t, stream(`{a="b"}`, line(2*tableLead, "y"), x, line(2*tableLead, "z"))), `400 2 errors like: entry for stream '{a="b", tenant="acme"}' has timestamp too new: 2026-11-24T12:02:00Z`, stored},
		"a long line":                 {proto, encodePush(t, stream(`{a="b"}`, line(0, long), x)), `400 max entry size '10000' bytes exceeded for stream '{a="b", tenant="acme"}' while adding an entry with length '10001' bytes`, stored},
		"metadata without a name":     {proto, encodePush(t, stream(`{a="b"}`, line(0, "y", "", "v"), x)), `400 label name is empty`, stored},
		"invalid UTF-8 in a label":    {proto, encodePush(t, stream("{a=\"\xff\"}", x), stream(`{a="b"}`, x)), "400 error parsing labels '{a=\"\xff\"}' with error: 1:4: parse error: invalid UTF-8 rune", stored},
		"labels that aren't":          {proto, encodePush(t, stream(`{a=b}`, x), stream(`{a="b"}`, x)), `400 error parsing labels '{a=b}' with error: 1:4: parse error: unexpected identifier "b" in label set, expected string`, stored},
		"a label twice":               {proto, encodePush(t, stream(`{a="b",a="c"}`, x), stream(`{a="b"}`, x)), `400 stream '{a="b",a="c"}' has duplicate label name: 'a'`, stored},
		"a label LogQL can't read":    {proto, encodePush(t, stream(`{"a.b"="c"}`, x), stream(`{a="b"}`, x)), `400 stream '{"a.b"="c", tenant="acme"}' has a label name that LogQL can't read: 'a.b'`, stored},
		"no streams":                  {proto, encodePush(t), "422 error at least one valid stream is required for ingestion", ""},
		"an empty body":               {proto, nil, "400 the request's body is not snappy: s2: corrupt input", ""},
		"not snappy":                  {proto, []byte("nonsense"), "400 the request's body is not snappy: s2: corrupt input", ""},
		"truncated snappy":            {proto, good[:len(good)-2], "400 the request's body is not snappy: s2: corrupt input", ""},
		"not a push request":          {proto, s2.EncodeSnappy(nil, []byte("\xff\xff\xff")), "400 the request is not a push.PushRequest", ""},
		"a truncated push request":    {proto, s2.EncodeSnappy(nil, []byte("\x0a\x05\x0a\x03{a")), "400 the request is not a push.PushRequest", ""},
		"too large":                   {proto, make([]byte, tableBytes+1), "413 the request is larger than 65536 bytes", ""},
		"a snappy bomb":               {proto, bomb, "413 the request is larger than 65536 bytes", ""},
		"a lie about its size":        {proto, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, "413 the request is larger than 65536 bytes", ""},
		"deflate as Loki reads it":    {headers{"Content-Encoding", "deflate"}, compress(t, "flate", good), "204", stored},
		"an unknown Content-Encoding": {headers{"Content-Encoding", "br"}, good, `415 Content-Encoding "br" is not supported (want gzip, deflate, zstd or none)`, ""},
	} {
		t.Run(name, func(t *testing.T) { row.run(t, nil) })
	}
	for name, want := range map[string]string{
		"the queue is full":     "503 retry 2 too much waits to be stored, try again later",
		"too large for a queue": "413 the request is larger than the queue takes",
		"the disk is full":      "503 retry 2 the request could not be stored, try again later",
	} {
		t.Run(name, func(t *testing.T) { lokiRow{proto, good, want, ""}.run(t, failures[name]) })
	}
	old := encodePush(t, stream(`{a="b"}`, line(-2*tableAge, "y")))
	t.Run("no room for dead letters", func(t *testing.T) {
		lokiRow{proto, old, "503 retry 2 the request could not be stored, try again later", ""}.run(t, failures["the disk is full"])
	})
}

func TestLokiPushJSONConformance(t *testing.T) {
	asJSON := headers{"Content-Type", "application/json"}
	now := fmt.Sprint(noon.UnixNano())
	values := func(v string) []byte { return []byte(`{"streams":[{"stream":{"a":"b"},"values":[` + v + `]}]}`) }
	good := values(`["` + now + `","x"]`)
	const not = "400 the request is not a push request in JSON: "
	for name, row := range map[string]lokiRow{
		"good":                  {asJSON, good, "204", stored},
		"with a charset":        {headers{"Content-Type", "application/json; charset=utf-8"}, good, "204", stored},
		"gzip":                  {append(asJSON, "Content-Encoding", "gzip"), compress(t, "gzip", good), "204", stored},
		"zstd":                  {append(asJSON, "Content-Encoding", "zstd"), compress(t, "zstd", good), "204", stored},
		"metadata":              {asJSON, values(`["` + now + `","x",{"k":"v"}]`), "204", stored + " k=v"},
		"a time of 0":           {asJSON, values(`["0","x"]`), "204", stored},
		"too old":               {asJSON, values(`["5","x"]`), "204", `dead {a="b", tenant="acme"} ` + time.Unix(0, 5).Sub(noon).String() + " x"},
		"too far in the future": {asJSON, values(`["` + now + `","x"],["2795563647838127742","y"]`), `400 entry for stream '{a="b", tenant="acme"}' has timestamp too new: 2058-08-03T01:27:27Z`, stored},
		"invalid UTF-8":         {asJSON, values(`["` + now + "\",\"\xff\"]"), "204", `{a="b", tenant="acme"} 0s ` + "\ufffd"},
		"no streams":            {asJSON, []byte(`{}`), "422 error at least one valid stream is required for ingestion", ""},
		"no values":             {asJSON, values(``), "204", ""},
		"a bad label name":      {asJSON, []byte(`{"streams":[{"stream":{"a-b":"c"},"values":[["` + now + `","x"]]},{"stream":{"a":"b"},"values":[["` + now + `","x"]]}]}`), `400 stream '{"a-b"="c", tenant="acme"}' has a label name that LogQL can't read: 'a-b'`, stored},
		"an empty body":         {asJSON, nil, not + "unexpected end of JSON input", ""},
		"cut off":               {asJSON, good[:20], not + "unexpected end of JSON input", ""},
		"something behind it":   {asJSON, append(good[:len(good):len(good)], 'x'), not + "invalid character 'x' after top-level value", ""},
		"a time that is none":   {asJSON, values(`["yesterday","x"]`), not + `the timestamp "yesterday" is not a number of nanoseconds`, ""},
		"a value of one":        {asJSON, values(`["` + now + `"]`), not + "a value has 1 elements (want timestamp, line and optionally structured metadata)", ""},
		"protobuf":              {asJSON, encodePush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{line(0, "x")}}), not + "invalid character '\\x18' looking for beginning of value", ""},
		"not gzip":              {append(asJSON, "Content-Encoding", "gzip"), good, "400 the request's body is not gzip: gzip: invalid header", ""},
		"truncated gzip":        {append(asJSON, "Content-Encoding", "gzip"), compress(t, "gzip", good)[:30], "400 the request's body can't be read: unexpected EOF", ""},
		"not zstd":              {append(asJSON, "Content-Encoding", "zstd"), good, "400 the request's body can't be read: invalid input: magic number mismatch", ""},
		"too large":             {asJSON, make([]byte, tableBytes+1), "413 the request is larger than 65536 bytes", ""},
		"a gzip bomb":           {append(asJSON, "Content-Encoding", "gzip"), compress(t, "gzip", make([]byte, 100*tableBytes)), "413 the request is larger than 65536 bytes", ""},
		"a zstd bomb":           {append(asJSON, "Content-Encoding", "zstd"), compress(t, "zstd", make([]byte, 100*tableBytes)), "413 the request is larger than 65536 bytes", ""},
	} {
		t.Run(name, func(t *testing.T) { row.run(t, nil) })
	}
	t.Run("the queue is full", func(t *testing.T) {
		lokiRow{asJSON, good, "503 retry 2 too much waits to be stored, try again later", ""}.run(t, failures["the queue is full"])
	})
}
