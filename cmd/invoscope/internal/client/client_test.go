package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers each request with the next of answers, and returns a client and the
// requests.
func serve(t *testing.T, answers ...string) (*Client, *[]string) {
	t.Helper()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Accept")+" "+r.Header.Get("Authorization")+" "+r.URL.RequestURI())
		answer := answers[min(len(asked), len(answers))-1]
		if status, body, ok := strings.Cut(answer, " "); ok && len(status) == 3 {
			var code int
			if _, err := fmt.Sscan(status, &code); err == nil {
				w.WriteHeader(code)
				answer = body
			}
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{URL: server.URL + "/", Token: "secret", HTTP: &http.Client{Transport: transport}}, &asked
}

func TestListPagesOn(t *testing.T) {
	c, asked := serve(t, `{"invocations":[{"id":"a"},{"id":"b"}],"next":"2"}`, `{"invocations":[],"next":"3"}`, `{"invocations":[{"id":"c"},{"id":"d"}]}`)
	query := url.Values{"target": {"x/y"}}
	var ids []string
	for s, err := range c.List(t.Context(), query, 3) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const prefix = "application/json Bearer secret /api/invoscope/v1/invocations?"
	want := []string{prefix + "limit=3&target=x%2Fy", prefix + "cursor=2&limit=1&target=x%2Fy", prefix + "cursor=3&limit=1&target=x%2Fy"}
	if diff := cmp.Diff(want, *asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if len(query) != 1 {
		t.Errorf("the caller's query became %v", query)
	}
}

func TestTimelinePagesOn(t *testing.T) {
	c, asked := serve(t, "\n"+`{"kind":"log","relation":"self","log":{"line":"one"}}`+"\n\n"+`{"next":"2","gaps":[]}`+"\n", `{"kind":"span","span":{"name":"two"}}`+"\n"+`{"gaps":["none of Tempo"]}`)
	var got []string
	for item, err := range c.Timeline(t.Context(), "inv_1x", url.Values{"relatives": {"callers"}}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case item.End != nil:
			got = append(got, fmt.Sprint("end ", item.End.Gaps))
		case item.Event.Log != nil:
			got = append(got, item.Event.Log.Line)
		default:
			got = append(got, item.Event.Span.Name)
		}
	}
	if diff := cmp.Diff([]string{"one", "end []", "two", "end [none of Tempo]"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const prefix = "application/x-ndjson Bearer secret /api/invoscope/v1/invocations/inv_1x/timeline?"
	if diff := cmp.Diff([]string{prefix + "relatives=callers", prefix + "cursor=2&relatives=callers"}, *asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestTimelineThatBreaksOff(t *testing.T) {
	for name, answer := range map[string]string{
		"without an end": `{"kind":"log","log":{"line":"x"}}` + "\n",
		"within a line":  `{"kind":"log","log":{"line":"x"}}` + "\n" + `{"kind":"sp`,
		"empty":          "",
		"not JSON":       "<html>",
		"of nothing":     `{"kind":"span"}` + "\n" + `{"gaps":[]}`,
	} {
		c, _ := serve(t, answer)
		var last error
		for _, err := range c.Timeline(t.Context(), "inv_1x", nil) {
			last = err
		}
		if last == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		answer, says string
		notFound     bool
	}{
		"the API's":   {`404 {"error":"nothing is known","status":404}`, "the server answered 404: nothing is known", true},
		"another's":   {"404 page not found\n", "the server answered 404: page not found", false},
		"a proxy's":   {"502 bad gateway\n", "the server answered 502: bad gateway", false},
		"without any": {"401 ", "the server answered 401 Unauthorized", false},
	} {
		client, _ := serve(t, c.answer)
		_, err := client.Get(t.Context(), "inv_1x")
		if err == nil || err.Error() != c.says || IsNotFound(err) != c.notFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClientStopsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"kind":"log","log":{"line":"x"}}`+"\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := &Client{URL: server.URL, HTTP: &http.Client{Transport: transport}}
	var last error
	for item, err := range c.Timeline(ctx, "inv_1x", nil) {
		if item.Event != nil {
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("it ended with %v", last)
	}
}

// FuzzDecode holds that any line is an event, an end or an error.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"kind":"log","time":"2026-11-25T03:01:34Z","log":{"line":"x"}}`))
	f.Add([]byte(`{"next":"2","gaps":["x"]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, line []byte) {
		item, err := decode(line)
		if err == nil && (item.Event == nil) == (item.End == nil) {
			t.Errorf("%q is both or neither", line)
		}
		if item.Event != nil && item.Event.Span == nil && item.Event.Log == nil {
			t.Errorf("%q is of nothing", line)
		}
	})
}
