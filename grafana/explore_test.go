package grafana

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A link says to Grafana what its documentation wants, and names the data source
// that was provisioned.
func TestExploreLinks(t *testing.T) {
	sources := load(t, must(DataSources(options())), nil)
	from := time.UnixMilli(1_700_000_000_000)
	to := from.Add(time.Second + 1)
	e := Explore{URL: "https://grafana.example.com/g/", Tenant: "default"}
	for _, tt := range []struct {
		link   string
		source map[string]any
		want   map[string]any
	}{
		{must(e.Logs(`{a="b"} |= "x&y#z"`, from, to)), sources[0], map[string]any{"queryType": "range", "expr": `{a="b"} |= "x&y#z"`}},
		{must(e.Trace("0af7", from, to)), sources[1], map[string]any{"queryType": "traceql", "query": "0af7"}},
	} {
		u, err := url.Parse(tt.link)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Scheme + "://" + u.Host + u.Path; got != "https://grafana.example.com/g/explore" {
			t.Errorf("the link leads to %s", got)
		}
		q := u.Query()
		if q.Get("schemaVersion") != "1" || q.Get("orgId") != "1" {
			t.Errorf("parameters %v", q)
		}
		var panes map[string]any
		if err := json.Unmarshal([]byte(q.Get("panes")), &panes); err != nil {
			t.Fatal(err)
		}
		tt.want["refId"] = "A"
		tt.want["datasource"] = map[string]any{"type": tt.source["type"], "uid": tt.source["uid"]}
		want := map[string]any{"invocation": map[string]any{
			"datasource": tt.source["uid"],
			"queries":    []any{tt.want},
			"range":      map[string]any{"from": "1700000000000", "to": "1700000001001"},
		}}
		if diff := cmp.Diff(want, panes); diff != "" {
			t.Error(diff)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
