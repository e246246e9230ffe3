package ingest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/relay/fault"
)

// Each of these fails when we panic, when what is stored can't be decoded, or
// when it differs from what the reference stores of a request that both take.

func FuzzPush(f *testing.F) {
	raw, err := (&push.PushRequest{Streams: []push.Stream{
		{Labels: `{a="b"}`, Entries: []push.Entry{pushed("x " + id), pushed("", push.LabelAdapter{Name: "k", Value: "v"})}},
		{Labels: `{}`, Entries: []push.Entry{{Line: `{"level":"INFO"}`}}, Hash: 5},
	}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	raw, err = (&push.PushRequest{Streams: []push.Stream{{Labels: `{a="b"}`, Entries: []push.Entry{
		pushed(sdkError), pushed(frame), pushed("    restate.invocation.target: A/b"), pushed("x", push.LabelAdapter{Name: correlate.MetaTraceID, Value: "1"}), pushed(frame),
	}}}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) { samePush(t, protoRaw(raw)) })
}

func FuzzLogs(f *testing.F) {
	logs, _ := everyValue(f)
	f.Add(logs)
	f.Add(encodeLogs(f, records()))
	f.Add(nested(3))
	f.Fuzz(func(t *testing.T, body []byte) { sameLogs(t, body) })
}

func FuzzTraces(f *testing.F) {
	_, traces := everyValue(f)
	f.Add(traces)
	small, err := ptraceotlp.NewExportRequestFromTraces(spans(2, 1)).MarshalProto()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Fuzz(func(t *testing.T, body []byte) { sameTraces(t, body) })
}

// What a JSON request stores is what its protobuf form stores.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"streams":[{"stream":{"a":"b"},"values":[["5","x",{"k":"v"}],["0",""]]}]}`))
	for _, encode := range []func() ([]byte, error){
		ptraceotlp.NewExportRequestFromTraces(spans(1, 1)).MarshalJSON, plogotlp.NewExportRequestFromLogs(records()).MarshalJSON,
	} {
		b, err := encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		fx := newFixture(t)
		h := header("Content-Type", "application/json")
		for _, w := range []*httptest.ResponseRecorder{
			do(fx.LokiPush, fault.Plain, h, body), do(fx.OTLPTraces, fault.OTLP, h, body), do(fx.OTLPLogs, fault.OTLP, h, body),
		} {
			if w.Code >= http.StatusInternalServerError {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		for _, s := range fx.logs.streams(t) {
			if !strings.Contains(s.Labels, `tenant="acme"`) {
				t.Errorf("stored as %s", s.Labels)
			}
		}
		if raw, err := encodeJSONPush(nil, body); err == nil {
			samePush(t, protoRaw(raw))
		}
		logs := plogotlp.NewExportRequest()
		if checkJSONDepth(body) == nil && logs.UnmarshalJSON(body) == nil {
			if asProto, err := logs.MarshalProto(); err == nil {
				sameLogs(t, asProto)
			}
		}
	})
}

// A body never becomes larger than a request may be, and what its decoder kept of
// one doesn't show in the next.
func FuzzBodies(f *testing.F) {
	content := bytes.Repeat([]byte("body "), 100)
	for encoding, body := range map[string][]byte{"gzip": zipped(f, content), "zstd": zstded(f, content), "snappy": s2.EncodeSnappy(nil, content), "deflate": {0x4b, 4, 0}} {
		f.Add(encoding, body)
	}
	f.Add("zstd", zstded(f, make([]byte, 2*maxBytes)))
	in := newFixture(f).Ingest
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		read := func(encoding string, body []byte) ([]byte, error) {
			r := &http.Request{Header: header("Content-Encoding", encoding), Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
			got, release, err := in.readBody(r, "acme")
			if err != nil {
				if k := fault.Of(err).Kind; k != fault.Invalid && k != fault.TooLarge && k != fault.UnsupportedMedia {
					t.Errorf("%v", err)
				}
				return nil, err
			}
			defer release()
			if len(got) > maxBytes {
				t.Errorf("%d bytes", len(got))
			}
			return bytes.Clone(got), nil
		}
		first, err := read(encoding, body)
		for _, other := range []string{"gzip", "zstd"} {
			good := map[string][]byte{"gzip": zipped(t, content), "zstd": zstded(t, content)}[other]
			if got, err := read(other, good); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s afterwards: %q %v", other, got, err)
			}
		}
		if again, errAgain := read(encoding, body); !bytes.Equal(first, again) || (err == nil) != (errAgain == nil) {
			t.Errorf("%q %v, and then %q %v", first, err, again, errAgain)
		}
		b := in.logs("acme")
		defer b.release()
		if b.decompress(body) == nil && len(b.raw) > maxBytes {
			t.Errorf("%d bytes of snappy", len(b.raw))
		}
	})
}
