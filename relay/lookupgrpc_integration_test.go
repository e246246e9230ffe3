//go:build integration

package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/tempo/pkg/tempopb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"

	"github.com/invoscope/invoscope/correlate"
)

// stream asks a real client for the whole of an answer.
func streamed(ctx context.Context, t *testing.T, client tempopb.StreamingQuerierClient, asked url.Values, opts ...grpc.CallOption) (answer []byte, looked string) {
	t.Helper()
	req := &tempopb.SearchRequest{Query: asked.Get("q")}
	for name, field := range map[string]*uint32{"start": &req.Start, "end": &req.End, "limit": &req.Limit, "spss": &req.SpansPerSpanSet} {
		n, err := strconv.ParseUint(asked.Get(name), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		*field = uint32(n)
	}
	call, err := client.Search(ctx, req, opts...)
	if err != nil {
		t.Fatal(err)
	}
	for {
		message, err := call.Recv()
		if errors.Is(err, io.EOF) {
			header, err := call.Header()
			if err != nil {
				t.Fatal(err)
			}
			return answer, strings.Join(header.Get(lookupHeader), ",")
		}
		if err != nil {
			return []byte(err.Error()), ""
		}
		raw, err := message.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		answer = append(answer, raw...)
		for _, trace := range message.Traces {
			answer = append(answer, trace.TraceID...)
		}
	}
}

func querier(t *testing.T, target string) tempopb.StreamingQuerierClient {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("engine"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return tempopb.NewStreamingQuerierClient(conn)
}

func TestStreamedLookupsAreTemposOwnAnswers(t *testing.T) {
	s := filled(t)
	relay, tempo := querier(t, s.addr), querier(t, "unix:"+s.socket)
	asTenant := metadata.AppendToOutgoingContext(t.Context(), "x-scope-orgid", "acme")
	withToken := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer good")
	off := metadata.AppendToOutgoingContext(withToken, strings.ToLower(lookupHeader), "off")
	never := `{ .restate.invocation.id = "inv_15xgYxIgAP7T1RwNIWp3LIw6lzw74VZk0y" }`
	type test struct {
		query  string
		ctx    context.Context
		opts   []grpc.CallOption
		id     string // empty: not narrowed
		looked string
	}
	tests := []test{
		{never, withToken, nil, "", lookupUnknown},
		{`{ .restate.invocation.id = "` + knownID + `" }`, off, nil, "", lookupOff},
		{`{ .restate.invocation.id = "` + knownID + `" } | count() > 0`, withToken, nil, "", ""},
		{`{ no query`, withToken, nil, "", ""},
		{`{ .restate.invocation.id = "` + knownID + `" }`, withToken, []grpc.CallOption{grpc.UseCompressor(gzip.Name)}, knownID, lookupNarrowed},
	}
	for _, id := range []string{knownID, twiceID} {
		for _, query := range recognisedQueries(t, id) {
			tests = append(tests, test{query, withToken, nil, id, lookupNarrowed})
		}
	}
	for _, tt := range tests {
		asked := s.shown(tt.query, 15*time.Minute, 0)
		expect := asked
		if tt.id != "" {
			parsed, err := correlate.ParseInvocationID(tt.id)
			if err != nil {
				t.Fatal(err)
			}
			expect = narrower(asked, tt.id, s.known["acme"][parsed])
		}
		answer := same(t, tt.query,
			func() []byte { answer, _ := streamed(asTenant, t, tempo, expect); return answer },
			func() []byte {
				answer, looked := streamed(tt.ctx, t, relay, asked, tt.opts...)
				if looked != tt.looked && looked != "" {
					t.Errorf("%s: the answer says %q, want %q", tt.query, looked, tt.looked)
				}
				return answer
			})
		if found := bytes.Contains(answer, []byte("invocation-attempt")); found != (tt.id != "") {
			t.Errorf("%s: found: %t", tt.query, found)
		}
	}
}
