package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/relay/invocation"
)

var update = flag.Bool("update", false, "write the golden files anew")

const recordings = "testdata/invocation"

// recorded is what the invocation API answered while real stories lasted, or when
// they were over; TestStories in test/e2e records it.
type recorded struct {
	t   *testing.T
	dir string
	url string
	id  map[string]string // by the story's name
	now time.Time         // shortly after the recording
	// asked are the requests.
	asked []string
}

// badID looks like an id and encodes none.
const badID = "inv_1zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"

func replay(t *testing.T, when string) *recorded {
	t.Helper()
	r := &recorded{t: t, dir: filepath.Join(recordings, when), id: map[string]string{}}
	files, err := filepath.Glob(filepath.Join(r.dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", r.dir, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		var facts invocation.Invocation
		var page invocation.Page
		if name == "list" {
			r.decode(file, &page)
			for _, s := range page.Invocations {
				if s.LastSeen.After(r.now) {
					r.now = s.LastSeen
				}
			}
			continue
		}
		r.decode(file, &facts)
		r.id[name] = facts.ID
	}
	r.now = r.now.Add(3 * time.Second)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *recorded) decode(file string, v any) {
	r.t.Helper()
	content, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(content, v)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// ServeHTTP answers from the files.
func (r *recorded) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.asked = append(r.asked, req.URL.RequestURI())
	if req.Header.Get("Authorization") != "Bearer secret" {
		http.Error(w, `{"error":"a token is needed","status":401}`, http.StatusUnauthorized)
		return
	}
	rest, ok := strings.CutPrefix(req.URL.Path, "/api/invoscope/v1/invocations")
	if !ok {
		http.NotFound(w, req)
		return
	}
	if rest == "" {
		r.list(w, req)
		return
	}
	if rest == "/"+badID {
		http.Error(w, `{"error":"it is not an invocation id","status":400}`, http.StatusBadRequest)
		return
	}
	id, timeline := strings.CutSuffix(strings.TrimPrefix(rest, "/"), "/timeline")
	for name, known := range r.id {
		if known != id {
			continue
		}
		file := filepath.Join(r.dir, name+".json")
		if timeline {
			file = filepath.Join(r.dir, name+".relatives.ndjson")
			if _, err := os.Stat(file); err != nil || !req.URL.Query().Has("relatives") {
				file = filepath.Join(r.dir, name+".ndjson")
			}
		}
		http.ServeFile(w, req, file)
		return
	}
	http.Error(w, `{"error":"nothing is known of the invocation `+id+`","status":404}`, http.StatusNotFound)
}

// list answers pages of seven.
func (r *recorded) list(w http.ResponseWriter, req *http.Request) {
	var all, page invocation.Page
	r.decode(filepath.Join(r.dir, "list.json"), &all)
	q := req.URL.Query()
	skip := q.Get("cursor") != ""
	for _, s := range all.Invocations {
		switch {
		case skip:
			skip = s.ID != q.Get("cursor")
		case !strings.Contains(s.ID, q.Get("id")):
		case len(page.Invocations) == 7:
			page.Next = page.Invocations[6].ID
		default:
			page.Invocations = append(page.Invocations, s)
		}
	}
	_ = json.NewEncoder(w).Encode(page)
}

// run runs `invoscope invocation`. {NAME} in an argument is a story's id.
func (r *recorded) run(ctx context.Context, args ...string) (stdout string, err error) {
	r.t.Helper()
	token := filepath.Join(r.t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	// Of a flag that is given twice, the last counts.
	args = append([]string{"invocation", args[0], "--url", r.url, "--token-file", token, "--data-dir", r.t.TempDir()}, args[1:]...)
	for i := range args {
		for name, id := range r.id {
			args[i] = strings.ReplaceAll(args[i], "{"+name+"}", id)
		}
	}
	var commands struct {
		Invocation invocationCmd `cmd:""`
	}
	parser, err := kong.New(&commands)
	if err != nil {
		r.t.Fatal(err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	g := &globals{ctx: ctx, stdout: &out, stderr: &out, log: slog.New(slog.DiscardHandler), now: func() time.Time { return r.now }}
	err = command.Run(g)
	return out.String(), err
}

func TestInvocationCommands(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for golden, args := range map[string][]string{
		"during/list":                     {"list"},
		"during/list-rfc3339":             {"list", "--time", "rfc3339", "--limit", "3"},
		"during/show-order":               {"show", "{order}"},
		"during/show-paused":              {"show", "{paused}"},
		"during/show-reminder":            {"show", "{reminder}"},
		"during/show-storm":               {"show", "{storm}"},
		"during/timeline-order":           {"timeline", "{order}", "--level", "info"},
		"during/timeline-paused":          {"timeline", "{paused}", "--level", "info"},
		"during/timeline-reminder":        {"timeline", "{reminder}"},
		"during/timeline-signature":       {"timeline", "{signature}"},
		"during/timeline-storm":           {"timeline", "{storm}"},
		"during/timeline-storm-all":       {"timeline", "{storm}", "--all", "--level", "error"},
		"after/list":                      {"list", "--limit", "0"},
		"after/list-color":                {"list", "--color", "always"},
		"after/show-order":                {"show", "{order}"},
		"after/show-reminder":             {"show", "{reminder}"},
		"after/show-repeated":             {"show", "{repeated}"},
		"after/show-killed":               {"show", "{killed}", "--color", "always"},
		"after/timeline-killed":           {"timeline", "{killed}", "--level", "warn"},
		"after/timeline-order":            {"timeline", "{order}"},
		"after/timeline-order-color":      {"timeline", "{order}", "--level", "info", "--color", "always"},
		"after/timeline-order-relatives":  {"timeline", "{order}", "--level", "info", "--relatives"},
		"after/timeline-reminder":         {"timeline", "{reminder}", "--level", "info"},
		"after/timeline-reminder-parents": {"timeline", "{reminder}", "--level", "info", "--relatives"},
		"after/timeline-repeated":         {"timeline", "{repeated}"},
		"after/timeline-signature-raw":    {"timeline", "{signature}", "--raw"},
		"after/follow-signature":          {"follow", "{signature}", "--level", "info"},
	} {
		t.Run(golden, func(t *testing.T) {
			when, _, _ := strings.Cut(golden, "/")
			got, err := replay(t, when).run(t.Context(), args...)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(recordings, golden+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%v (-want +got; go test -update writes it anew):\n%s", args, diff)
			}
		})
	}
}

// JSON is what the API answers, a line for each.
func TestInvocationJSON(t *testing.T) {
	r := replay(t, "after")
	for _, c := range []struct {
		file string
		args []string
	}{
		{"order.json", []string{"show", "{order}", "-o", "json"}},
		{"order.ndjson", []string{"timeline", "{order}", "-o", "json"}},
		{"order.relatives.ndjson", []string{"timeline", "{order}", "-o", "json", "--relatives"}},
		{"signature.ndjson", []string{"follow", "{signature}", "-o", "json"}},
	} {
		got, err := r.run(t.Context(), c.args...)
		if err != nil {
			t.Fatalf("%v: %v", c.args, err)
		}
		want, err := os.ReadFile(filepath.Join(r.dir, c.file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimSpace(string(want)), strings.TrimSpace(got)); diff != "" {
			t.Errorf("%v (-API +got):\n%s", c.args, diff)
		}
	}
	var all invocation.Page
	r.decode(filepath.Join(r.dir, "list.json"), &all)
	listed, err := r.run(t.Context(), "list", "-o", "json", "--limit", "10")
	if err != nil || strings.Count(listed, "\n") != 10 || !strings.HasPrefix(listed, `{"id":"`+all.Invocations[0].ID) {
		t.Errorf("listed %d lines: %s, %v", strings.Count(listed, "\n"), listed, err)
	}
}

func TestInvocationListAsksForWhatIsSelected(t *testing.T) {
	r := replay(t, "after")
	_, err := r.run(t.Context(), "list", "--since", "2h", "--to", "2026-11-25T00:00:00Z", "--target", "Counter/a b/add",
		"--outcome", "failed", "--outcome", "paused", "--error-code", "RT0007", "--id", "abc", "--limit", "5")
	want := []string{"/api/invoscope/v1/invocations?error_code=RT0007&id=abc&limit=5&outcome=failed%2Cpaused&since=2h&target=Counter%2Fa+b%2Fadd&to=2026-11-25T00%3A00%3A00Z"}
	if diff := cmp.Diff(want, r.asked); err != nil || diff != "" {
		t.Errorf("%v, asked (-want +got):\n%s", err, diff)
	}
}

func TestInvocationPrefixes(t *testing.T) {
	r := replay(t, "after")
	whole := r.id["killed"]
	if out, err := r.run(t.Context(), "show", whole[:15]); err != nil || !strings.Contains(out, whole) {
		t.Errorf("%s, %v", out, err)
	}
	// Those of a workflow's key begin alike.
	if out, err := r.run(t.Context(), "show", r.id["order"][:15]); err == nil || !strings.Contains(err.Error(), "several invocations begin with "+r.id["order"][:15]+": inv_1") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestInvocationErrorsAreReadable(t *testing.T) {
	r := replay(t, "after")
	const unknown = "inv_1hSYOOxaFdzi2FUGCwiD5OL86PLDRF0000"
	ended, end := context.WithCancel(t.Context())
	end()
	for name, c := range map[string]struct {
		ctx  context.Context
		args []string
		says string
		code int
	}{
		"an unknown id":     {args: []string{"show", unknown}, says: "no invocation " + unknown + " is known to tenant default (", code: exitNotFound},
		"an unknown prefix": {args: []string{"timeline", "inv_1zzz"}, says: "no invocation inv_1zzz", code: exitNotFound},
		"an id of no one":   {args: []string{"show", "{bad}"}, says: "the server answered 400: it is not an invocation id", code: exitUsage},
		"another server":    {args: []string{"show", unknown, "--url", "{url}/grafana"}, says: "(is it Invoscope that listens there?)", code: 1},
		"a negative limit":  {args: []string{"list", "--limit=-1"}, says: "--limit", code: exitUsage},
		"no token":          {args: []string{"show", unknown, "--token-file", "/nowhere/token"}, says: "read token file", code: 1},
		"a bad address":     {args: []string{"show", unknown, "--url", "localhost:3100"}, says: `want http://HOST:PORT`, code: 1},
		"nobody there":      {args: []string{"list", "--url", "http://127.0.0.1:1"}, says: "(does Invoscope run there?)", code: 1},
		"no id":             {args: []string{"show", "Greeter/greet"}, says: `"Greeter/greet" is not an invocation's id`, code: exitUsage},
		"a token elsewhere": {args: []string{"list", "--token-file", ""}, says: "no token for http://127.0.0.1:", code: 1},
		"interrupted":       {ctx: ended, args: []string{"follow", "{order}"}, says: "interrupted", code: exitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := c.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			r := *r
			r.t = t
			args := append([]string{}, c.args...)
			for i := range args {
				args[i] = strings.NewReplacer("{url}", r.url, "{bad}", badID).Replace(args[i])
			}
			_, err := r.run(ctx, args...)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v: %v", args, err)
			}
			code := 1
			var coded kong.ExitCoder
			if errors.As(err, &coded) {
				code = coded.ExitCode()
			}
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
		})
	}
}
