package ship

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/correlate"
)

// joined returns the entries that a joiner made, each after the time at which it
// did since the beginning.
type joined struct {
	began   time.Time
	entries []string
}

func (j *joined) add(entry []byte, _ time.Time, _ *source) error {
	j.entries = append(j.entries, fmt.Sprintf("%v %s", time.Since(j.began), entry))
	return nil
}

const second = time.Second

// written is a line that comes after a while.
type written struct {
	after time.Duration
	of    stream
	text  string
}

// TestJoiner tells when which entries come out, with a wait of a second and at most a
// quarter more.
func TestJoiner(t *testing.T) {
	const a, b, cont = "2026-11-23T03:10:16.1Z INFO a", "2026-11-23T03:10:16.2Z INFO b", "Caused by: c"
	const object = `{"level":"INFO"}`
	stderr := stream{stderr: true}
	for name, tt := range map[string]struct {
		in   []written
		want []string
	}{
		"the next record ends one":            {[]written{{0, stream{}, a}, {0, stream{}, cont}, {0, stream{}, b}, {0, stream{}, ""}}, []string{"0s " + a + "\n" + cont, "1.25s " + b + "\n"}},
		"the wait is since the last line":     {[]written{{0, stream{}, a}, {900 * time.Millisecond, stream{}, cont}, {900 * time.Millisecond, stream{}, cont}}, []string{"3s " + a + "\n" + cont + "\n" + cont}},
		"what comes late is by itself":        {[]written{{0, stream{}, a}, {1300 * time.Millisecond, stream{}, cont}}, []string{"1.25s " + a, "2.55s " + cont}},
		"JSON is an entry at once":            {[]written{{0, stream{}, object}, {2 * second, stream{}, object}}, []string{"0s " + object, "2s " + object}},
		"JSON ends a record":                  {[]written{{0, stream{}, a}, {0, stream{}, object}, {0, stream{}, a}}, []string{"0s " + a, "0s " + object, "1.25s " + a}},
		"nothing continues JSON":              {[]written{{0, stream{}, object}, {0, stream{}, "thrown"}, {0, stream{}, " at x"}}, []string{"0s " + object, "1.25s thrown\n at x"}},
		"JSON that isn't whole":               {[]written{{0, stream{}, `{"a":1,`}, {0, stream{}, `"b":2}`}}, []string{"1.25s {\"a\":1,\n\"b\":2}"}},
		"streams don't mix":                   {[]written{{0, stream{}, a}, {0, stderr, b}, {0, stream{}, "1"}, {0, stderr, "2"}}, []string{"1.25s " + a + "\n1", "1.25s " + b + "\n2"}},
		"each stream has its own time":        {[]written{{0, stream{}, a}, {400 * time.Millisecond, stderr, b}, {300 * time.Millisecond, stderr, cont}}, []string{"1.25s " + a, "1.75s " + b + "\n" + cont}},
		"a program we know nothing of":        {[]written{{0, stream{}, "one"}, {0, stream{}, "two"}, {0, stream{}, "  at x"}, {0, stream{}, "{"}, {0, stream{}, "\ty"}, {0, stream{}, "}"}}, []string{"0s one", "0s two\n  at x", "1.25s {\n\ty\n}"}},
		"a program that goes on":              {endless(a, 30), []string{"10.25s " + a + strings.Repeat("\n"+cont, 12), "11.2s " + cont, "12s " + cont, "13.15s " + cont}},
		"an empty line":                       {[]written{{0, stream{}, ""}, {0, stream{}, ""}}, []string{"1.25s \n"}},
		"as if nothing had been there before": {[]written{{0, stream{}, a}, {3 * second, stream{}, b}, {0, stream{}, cont}}, []string{"1.25s " + a, "4.25s " + b + "\n" + cont}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &joined{began: time.Now()}
				j := &joiner{add: out.add, wait: second}
				for _, w := range tt.in {
					time.Sleep(w.after)
					j.mu.Lock()
					if err := j.line(w.of, []byte(w.text), time.Time{}, nil); err != nil {
						t.Error(err)
					}
					j.mu.Unlock()
				}
				time.Sleep(time.Minute)
				j.mu.Lock()
				defer j.mu.Unlock()
				if diff := cmp.Diff(tt.want, out.entries); diff != "" {
					t.Errorf("entries (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func endless(first string, n int) []written {
	lines := []written{{0, stream{}, first}}
	for range n / 2 {
		lines = append(lines, written{800 * time.Millisecond, stream{}, "Caused by: c"})
	}
	return lines
}

// join returns the entries that a pipe makes of text.
func join(t testing.TB, text string) (entries []string) {
	t.Helper()
	return joinAs(t, FormatAuto, text)
}

func joinAs(t testing.TB, f Format, text string) (entries []string) {
	t.Helper()
	l, err := newLabeler(nil)
	if err != nil {
		t.Fatal(err)
	}
	u := &unwrapper{format: f, from: l.source(nil), journal: newJournal(l, discard(), true)}
	u.joiner.wait = time.Hour
	u.joiner.add = func(entry []byte, _ time.Time, _ *source) error {
		entries = append(entries, string(entry))
		return nil
	}
	if err := readTokens(strings.NewReader(text), u, func() {}); err != nil {
		t.Fatal(err)
	}
	if err := u.end(); err != nil {
		t.Fatal(err)
	}
	return entries
}

// Streams that never go on don't pile up.
func TestOpenEntriesAreBounded(t *testing.T) {
	out := &joined{began: time.Now()}
	j := &joiner{add: out.add, wait: time.Hour}
	for i := range maxOpenEntries + 3 {
		if err := j.line(stream{writer: fmt.Sprint(i)}, []byte("INFO x"), time.Time{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(out.entries) != 3 || len(j.open) != maxOpenEntries {
		t.Errorf("%d entries, %d open; want 3 and %d", len(out.entries), len(j.open), maxOpenEntries)
	}
	if err := j.end(); err != nil || len(out.entries) != maxOpenEntries+3 {
		t.Errorf("%d entries at the end, %v", len(out.entries), err)
	}
}

// FuzzJoin compares the entries with what the rules say, slowly, where no line is too
// long: the lines of all entries are those that came, and each entry is a record.
func FuzzJoin(f *testing.F) {
	for _, file := range []string{"restate-edge.jsonl", "restate-compact.log", "restate-pretty.log", "service-sdk-debug.log"} {
		f.Add(recorded(f, file)[:1000])
	}
	f.Add("INFO a\n{\"a\":1}\nb\n c\n\n}\n{\nINFO")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > maxLine/2 || strings.Count(text, "\n") >= maxEntryLines || strings.Contains(text, "\r") {
			t.Skip()
		}
		var want []string
		var open, begun bool
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			begins := correlate.Begins(line)
			looks := line == "" || strings.ContainsAny(line[:1], " \t}")
			if open && !begins && (begun || looks) {
				want[len(want)-1] += "\n" + line
				continue
			}
			want = append(want, line)
			begun = begins
			open = !begins || !strings.HasPrefix(line, "{") || !strings.HasSuffix(line, "}")
		}
		if diff := cmp.Diff(want, joinAs(t, FormatRaw, text)); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	})
}

// TestBounds: whatever is cut off comes as an entry of its own, and nothing is lost.
func TestBounds(t *testing.T) {
	const begin = "2026-11-23T03:10:16Z INFO x\n"
	for name, tt := range map[string]struct {
		in   string
		want []int // bytes of each entry
	}{
		"lines":                     {begin + strings.Repeat("a\n", maxEntryLines+1), []int{len(begin) + 2*(maxEntryLines-1) - 1, 3}},
		"bytes":                     {begin + strings.Repeat("a", maxLine-len(begin)) + "\nb\nc\n" + begin, []int{maxLine, 3, len(begin) - 1}},
		"bytes, one too many":       {begin + strings.Repeat("a", maxLine-len(begin)+1) + "\nb\n", []int{len(begin) - 1, maxLine - len(begin) + 3}},
		"a line that is cut":        {strings.Repeat("a", maxLine) + "bc\nd\n", []int{maxLine, 2, 1}},
		"a record's line, cut":      {begin + strings.Repeat("a", maxLine) + "bc\nd\n", []int{len(begin) - 1, maxLine, 4}},
		"cut before a character":    {"{\"" + strings.Repeat("a", maxLine-3) + "é\"}\n" + begin, []int{maxLine - 1, 4, len(begin) - 1}},
		"an object as large as can": {"{\"" + strings.Repeat("a", maxLine-3) + "}\n" + begin, []int{maxLine, len(begin) - 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			all := ""
			for _, e := range join(t, tt.in) {
				got = append(got, len(e))
				all += e
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lengths (-want +got):\n%s", diff)
			}
			strip := strings.NewReplacer("\n", "")
			if strip.Replace(all) != strip.Replace(tt.in) {
				t.Error("bytes are missing")
			}
		})
	}
}

// TestRecordings compares the entries with an obviously right reading of each
// recording: what each of its records begins with, and the lines of its errors,
// counted by hand.
func TestRecordings(t *testing.T) {
	for _, tt := range []struct {
		file, begin string
		entries     int
		mark        string // of an error
		errors      string // their first and last lines
	}{
		{"restate-compact.log", `^2026-11-23T\S+Z `, 116, " WARN ",
			"107-114 115-122 123-132 133-142 143-153 154-164 165-175 176-186 187-189 190-192"},
		{"restate-pretty.log", "^\x1b\\[2m2026-11-23T", 29, "WARN",
			"94-111 112-129 130-149 150-169 170-190 191-211 212-232 233-253 254-264 265-275"},
		{"service-sdk-debug.log", `^\[restate\]`, 402, " TerminalError: ", "169-182 677-688"},
		{"restate-debug.jsonl", `^`, 994, "", ""},
		{"restate-v162-debug.jsonl", `^`, 100, "", ""},
		{"restate-edge.jsonl", `^`, 7, "[rocksdb]", "5-5 6-6 7-7"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			text := recorded(t, tt.file)
			entries := join(t, text)
			if diff := cmp.Diff(split(text, regexp.MustCompile(tt.begin)), entries); diff != "" {
				t.Errorf("entries (-want +got):\n%.3000s", diff)
			}
			if len(entries) != tt.entries {
				t.Errorf("%d entries, want %d", len(entries), tt.entries)
			}
			var errors []string
			next := 1
			for _, e := range entries {
				first := next
				next += strings.Count(e, "\n") + 1
				if tt.mark != "" && strings.Contains(e, tt.mark) {
					errors = append(errors, fmt.Sprintf("%d-%d", first, next-1))
				}
			}
			if got := strings.Join(errors, " "); got != tt.errors {
				t.Errorf("errors %s, want %s", got, tt.errors)
			}
		})
	}
}

// split cuts text before each line that matches begin.
func split(text string, begin *regexp.Regexp) (records []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); len(records) == 0 || begin.MatchString(line) {
			records = append(records, line)
		} else {
			records[len(records)-1] += "\n" + line
		}
	}
	return records
}

// BenchmarkJoin takes recorded logs apart and joins their records; it allocates
// nothing for a record, of one line or of several, but what reading a pipe does.
func BenchmarkJoin(b *testing.B) {
	l, err := newLabeler(nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range []string{"restate-debug.jsonl", "restate-compact.log", "restate-pretty.log", "service-sdk-debug.log"} {
		for name, wait := range map[string]time.Duration{"joined": DefaultMultilineWait, "not joined": 0} {
			b.Run(file+"/"+name, func(b *testing.B) {
				text := recorded(b, file)
				lines := strings.Count(text, "\n")
				u := &unwrapper{format: FormatAuto, from: l.source(nil)}
				u.joiner.wait = wait
				u.joiner.add = func([]byte, time.Time, *source) error { return nil }
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if err := readTokens(strings.NewReader(text), u, func() {}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*lines)/b.Elapsed().Seconds(), "lines/s")
			})
		}
	}
}
