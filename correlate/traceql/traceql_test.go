package traceql

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/correlate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"

// spelled puts the id in for $.
func spelled(query string) string { return strings.ReplaceAll(query, "$", id) }

// recognised reads the spellings, which are asked of a real Tempo in relay, too.
func recognised(t testing.TB) (queries []string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "recognised.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &queries); err != nil {
		t.Fatal(err)
	}
	return queries
}

func TestRecognised(t *testing.T) {
	want, err := correlate.ParseInvocationID(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range recognised(t) {
		if got, ok := InvocationID(spelled(query)); !ok || got != want {
			t.Errorf("%s: %v, %t", query, got, ok)
		}
	}
}

func TestNotRecognised(t *testing.T) {
	for _, query := range []string{
		"", "{", "{}", "}", `{ } "$"`, "$",
		`{ .restate.invocation.id != "$" }`,
		`{ .restate.invocation.id =~ "$" }`,
		`{ .restate.invocation.id == "$" }`,
		`{ .restate.invocation.id = $ }`,
		`{ .restate.invocation.id = '$' }`,
		"{ .restate.invocation.id = \"$` }",
		`{ .restate.invocation.id = "$ }`,
		`{ .restate.invocation.id = "$" `,
		`{ .restate.invocation.id = "" }`,
		`{ .restate.invocation.id = "inv_1" }`,
		`{ .restate.invocation.id = "$x" }`,
		`{ .restate.invocation.id = " $" }`,
		`{ .restate.invocation.id = "\x69nv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX" }`,
		`{ .restate.invocation.id = "inv_1zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz" }`,
		`{ .restate.invocation.ids = "$" }`,
		`{ .restate.invocation.i = "$" }`,
		`{ .restate.invocation.id.x = "$" }`,
		`{ .restate.invocation. id = "$" }`,
		`{ . restate.invocation.id = "$" }`,
		`{ span .restate.invocation.id = "$" }`,
		`{ .".restate.invocation.id" = "$" }`,
		`{ ."restate.invocation.id = "$" }`,
		`{ ."restate\.invocation.id" = "$" }`,
		"{ .`restate.invocation.id` = \"$\" }",
		`{ restate.invocation.id = "$" }`,
		`{ "restate.invocation.id" = "$" }`,
		`{ .span.restate.invocation.id = "$" }`,
		`{ resource.restate.invocation.id = "$" }`,
		`{ parent.restate.invocation.id = "$" }`,
		`{ parent.span.restate.invocation.id = "$" }`,
		`{ event.restate.invocation.id = "$" }`,
		`{ link.restate.invocation.id = "$" }`,
		`{ instrumentation.restate.invocation.id = "$" }`,
		`{ (.restate.invocation.id = "$") }`,
		`{ !(.restate.invocation.id = "$") }`,
		`{ .restate.invocation.id = "$" && status = error }`,
		`{ .restate.invocation.id = "$" || status = error }`,
		`{ .restate.invocation.id = "$" } | count() > 1`,
		`{ .restate.invocation.id = "$" } | select(.x)`,
		`{ .restate.invocation.id = "$" } with (most_recent=true)`,
		`{ .restate.invocation.id = "$" } && { }`,
		`{ } >> { .restate.invocation.id = "$" }`,
		`{ .restate.invocation.id = "$" } // }`,
		`{ .restate.invocation.id = /* */ "$" }`,
		`/**/{ .restate.invocation.id = "$" }`,
		"{ .restate.invocation.id =\u00a0\"$\" }",
		"\ufeff{ .restate.invocation.id = \"$\" }",
		"{ .restate.invocation.id = \"$\" }\x00",
		`{ "$" = "$" }`,
		`{ .restate.invocation.id = .restate.invocation.id }`,
		`{ "$" = .restate.invocation.id = "$" }`,
	} {
		if got, ok := InvocationID(spelled(query)); ok {
			t.Errorf("%q: %v", query, got)
		}
	}
}

func TestSpansIsRecognised(t *testing.T) {
	want, err := correlate.ParseInvocationID(id)
	if err != nil {
		t.Fatal(err)
	}
	query := Spans(want)
	if got, ok := InvocationID(query); !ok || got != want {
		t.Errorf("%s: %v, %t", query, got, ok)
	}
}

// FuzzInvocationID looks for queries that are recognised and shouldn't be: whatever
// is recognised is one of the spellings once white space and quotes are gone.
func FuzzInvocationID(f *testing.F) {
	for _, query := range recognised(f) {
		f.Add(spelled(query))
	}
	f.Add(`{ .restate.invocation.id = "$" } | count() > 1`)
	plain := map[string]bool{}
	for _, attribute := range []string{".restate.invocation.id", "span.restate.invocation.id"} {
		plain["{"+attribute+"=$}"], plain["{$="+attribute+"}"] = true, true
	}
	strip := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "", `"`, "", "`", "")
	f.Fuzz(func(t *testing.T, query string) {
		got, ok := InvocationID(query)
		if !ok {
			return
		}
		stripped := strip.Replace(query)
		i := strings.Index(stripped, "inv_1")
		if i < 0 {
			t.Fatalf("%q has no id", query)
		}
		text := stripped[i : i+len(id)]
		if want, err := correlate.ParseInvocationID(text); err != nil || want != got {
			t.Errorf("%q: %v, want %v (%v)", query, got, want, err)
		}
		if !plain[strings.Replace(stripped, text, "$", 1)] {
			t.Errorf("%q was recognised", query)
		}
		if again, ok := InvocationID(query + " "); !ok || again != got {
			t.Errorf("%q isn't recognised with a space behind it", query)
		}
	})
}

func BenchmarkInvocationID(b *testing.B) {
	query := spelled(recognised(b)[0])
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := InvocationID(query); !ok {
			b.Fatal("not recognised")
		}
	}
}
