//go:build integration

package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/tempo/pkg/tempopb"
	"google.golang.org/grpc/metadata"

	"github.com/invoscope/invoscope/tenancy"
)

func (p *pair) streams(t *testing.T) {
	client := querier(t, p.addr)
	for token, tenants := range map[string][]string{"both": {"a", "b"}, "a": {"a"}, "b": {"b"}} {
		until(t, "the streamed answer", func() error {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token, "x-scope-orgid", "a|b")
			call, err := client.Search(ctx, &tempopb.SearchRequest{Query: ofSpans, Start: uint32(p.begun.Unix()), End: uint32(time.Now().Unix() + 60)})
			if err != nil {
				return err
			}
			var found []string
			for {
				message, err := call.Recv()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return err
				}
				for _, trace := range message.Traces {
					found = append(found, trace.TraceID)
				}
			}
			var want []string
			for _, tenant := range tenants {
				want = append(want, strings.TrimLeft(traceOf(tenant), "0"))
			}
			slices.Sort(want)
			slices.Sort(found)
			if found = slices.Compact(found); !slices.Equal(found, want) {
				return fmt.Errorf("%s found %q, want %q", token, found, want)
			}
			return nil
		})
	}
}

// refusing are the endpoints that don't answer for several tenants, and what the
// pinned engines say instead. docs/endpoints.md tells of them.
var refusing = map[string]struct {
	status int
	says   string
}{
	"/loki/api/v1/drilldown-limits": {http.StatusUnauthorized, "multiple org IDs present"},
	tailPath:                        {http.StatusBadRequest, "multiple org IDs present"},
	"/api/metrics/summary":          {http.StatusBadRequest, "multi-tenant query unsupported"},
}

// refuses looks at every query of the table: it answers two tenants as it does one, or
// is known not to.
func (p *pair) refuses(t *testing.T) {
	for _, route := range Routes() {
		if route.Scope != tenancy.LogsRead && route.Scope != tenancy.TracesRead || !strings.HasPrefix(route.Methods, "GET") {
			continue
		}
		path := strings.NewReplacer("{name}", "record", "{id}", traceOf("a")).Replace(route.Pattern)
		v := url.Values{"query": {ofLogs}}
		if route.Scope == tenancy.TracesRead {
			v = url.Values{"q": {ofSpans}}
		}
		both, body, err := p.get(t.Context(), "both", path+"?"+v.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if want, known := refusing[route.Pattern]; known {
			if both != want.status || !strings.Contains(body, want.says) {
				t.Errorf("%s: %d %q, want %d %q", route.Pattern, both, body, want.status, want.says)
			}
			continue
		}
		one, bodyOfOne, err := p.get(t.Context(), "a", path+"?"+v.Encode())
		if err != nil || one != both {
			t.Errorf("%s: %d %q, of one tenant %d %q, %v", route.Pattern, both, body, one, bodyOfOne, err)
		}
	}
}

// streamsTags asks the other streaming methods.
func (p *pair) streamsTags(t *testing.T) {
	client := querier(t, p.addr)
	type stream interface{ RecvMsg(any) error }
	for name, call := range map[string]func(context.Context) (stream, error){
		"SearchTags": func(ctx context.Context) (stream, error) { return client.SearchTags(ctx, &tempopb.SearchTagsRequest{}) },
		"SearchTagsV2": func(ctx context.Context) (stream, error) {
			return client.SearchTagsV2(ctx, &tempopb.SearchTagsRequest{})
		},
		"SearchTagValues": func(ctx context.Context) (stream, error) {
			return client.SearchTagValues(ctx, &tempopb.SearchTagValuesRequest{TagName: "restate.invocation.id"})
		},
		"SearchTagValuesV2": func(ctx context.Context) (stream, error) {
			return client.SearchTagValuesV2(ctx, &tempopb.SearchTagValuesRequest{TagName: "span.restate.invocation.id"})
		},
	} {
		for token, tenants := range map[string]int{"both": 2, "a": 1} {
			ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token))
			answers, err := call(ctx)
			var all []byte
			for err == nil {
				var answer tempopb.SearchTagValuesResponse // what of it is read is kept
				if err = answers.RecvMsg(&answer); err == nil {
					raw, errMarshal := answer.Marshal()
					all, err = append(all, raw...), errMarshal
				}
			}
			cancel()
			if !errors.Is(err, io.EOF) {
				t.Errorf("%s of %s: %v", name, token, err)
			}
			if got := strings.Count(string(all), "record-of-"); strings.HasPrefix(name, "SearchTagValues") && got < tenants {
				t.Errorf("%s of %s: %q", name, token, all)
			}
		}
	}
}
