package harness

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProcessEndsOnSIGTERM(t *testing.T) {
	p := Spawn(t, exec.Command("sh", "-c", `trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done`))
	Poll(t, 10*time.Second, "it is up", func() error {
		if p.Output() != "up\n" {
			return fmt.Errorf("it wrote %q", p.Output())
		}
		return nil
	})
	if err := p.Wait(time.Millisecond); err == nil || !strings.Contains(err.Error(), "still running") {
		t.Errorf("Wait = %v, want still running", err)
	}
	var exit *exec.ExitError
	if err := p.Terminate(10 * time.Second); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("Terminate = %v, want exit status 3", err)
	}
	if got := p.Output(); got != "up\nbye\n" {
		t.Errorf("output = %q", got)
	}
}

func TestProcessGroupEndsWithTheTest(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	t.Run("leaves a grandchild", func(t *testing.T) {
		// $0 of the inner shell carries the marker into its command line.
		p := Spawn(t, exec.Command("sh", "-c", `sh -c 'while :; do sleep 0.05; done' "$1" >/dev/null 2>&1 & wait`, "sh", marker))
		Poll(t, 10*time.Second, "both run", func() error { return wantLeftovers(marker, 2) })
		p.Kill()
		Poll(t, 10*time.Second, "the grandchild alone runs", func() error { return wantLeftovers(marker, 1) })
	})
	Poll(t, 10*time.Second, "none runs", func() error { return wantLeftovers(marker, 0) })
}

func wantLeftovers(marker string, n int) error {
	left, err := Leftovers(marker)
	if err != nil {
		return err
	}
	if len(left) != n {
		return fmt.Errorf("%d processes, want %d: %q", len(left), n, left)
	}
	return nil
}

func TestTailKeepsTheEnd(t *testing.T) {
	var w tail
	fmt.Fprint(&w, "start", strings.Repeat("x", tailSize))
	fmt.Fprint(&w, "end")
	if got := w.String(); len(got) != tailSize || !strings.HasSuffix(got, "xend") {
		t.Errorf("kept %d bytes ending in %q", len(got), got[len(got)-4:])
	}
}

func TestClientSearchAndTrace(t *testing.T) {
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "Restate")
	span := resource.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetName("invocation-end Greeter/greet")
	span.SetTraceID(pcommon.TraceID{15: 7})
	span.SetSpanID(pcommon.SpanID{7: 8})
	span.Status().SetCode(ptrace.StatusCodeError)
	span.Attributes().PutStr("restate.invocation.id", "inv_x")
	link := span.Links().AppendEmpty()
	link.SetTraceID(pcommon.TraceID{15: 9})
	encoded, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	id := strings.Repeat("0", 31) + "7"

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer secret":
			http.Error(w, "no token", http.StatusUnauthorized)
		case r.URL.Path == "/api/search" && r.URL.Query().Get("q") == "{}":
			fmt.Fprint(w, `{"traces":[{"traceID":"7"}]}`)
		case r.URL.Path == "/api/v2/traces/"+id:
			// A field before the trace, as metrics could be.
			body := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "")
			body = protowire.AppendBytes(protowire.AppendTag(body, 1, protowire.BytesType), encoded)
			_, _ = w.Write(body)
		case strings.HasPrefix(r.URL.Path, "/api/v2/traces/"): // unknown: an empty answer
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := Client{URL: server.URL, TokenFile: token}

	found, err := client.Search(t.Context(), "{}")
	if diff := cmp.Diff([]string{id}, found); diff != "" || err != nil {
		t.Errorf("search (-want +got):\n%s%v", diff, err)
	}
	got, err := client.Trace(t.Context(), id)
	want := []Span{{
		TraceID: id, SpanID: strings.Repeat("0", 15) + "8", Name: "invocation-end Greeter/greet", Failed: true,
		Start: time.Unix(0, 0).UTC(), End: time.Unix(0, 0).UTC(),
		Attributes: map[string]any{"restate.invocation.id": "inv_x"},
		Resource:   map[string]any{"service.name": "Restate"},
		Links:      []Link{{TraceID: strings.Repeat("0", 31) + "9"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("trace (-want +got):\n%s%v", diff, err)
	}
	if got, err := client.Trace(t.Context(), "abc"); len(got) != 0 || err != nil {
		t.Errorf("unknown trace = %v, %v", got, err)
	}
	if _, err := client.Get(t.Context(), "/nowhere", ""); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("Get = %v, want the status", err)
	}
}
