package ship

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// got is a line that came out of an unwrapper.
type got struct{ Line, At, Labels string }

// unwrap ships in through tokens and an unwrapper, as a pipe does.
func unwrap(t testing.TB, f Format, in string, join bool) (lines []got, log string) {
	t.Helper()
	l, err := newLabeler(nil)
	if err != nil {
		t.Fatal(err)
	}
	text := &logText{}
	j := newJournal(l, slog.New(slog.NewTextHandler(text, nil)), join)
	add := func(line []byte, at time.Time, from *source) error {
		g := got{Line: string(line), Labels: strings.Trim(from.labels, "{}")}
		if !at.IsZero() {
			g.At = at.Format(time.RFC3339Nano)
		}
		lines = append(lines, g)
		return nil
	}
	u := &unwrapper{format: f, from: l.source(nil), joiner: joiner{add: add}, journal: j}
	if err := errors.Join(readTokens(strings.NewReader(in), u, func() {}), u.end()); err != nil {
		t.Fatal(err)
	}
	return lines, text.String()
}

const restateLabels = `kubernetes_container_name="restate"`

// The lines are what containerd 1.7 and CRI-O write; the last of them with a
// local time.
const criText = `2026-10-06T00:17:09.669794202Z stdout F {"timestamp":"2026-10-06T00:17:09.669Z","level":"INFO"}
2026-10-06T00:17:10.5Z stdout P first, 
2026-10-06T00:17:10.6Z stderr P mixed in: 
2026-10-06T00:17:10.7Z stdout P second, 
2026-10-06T00:17:10.8Z stdout F third
2026-10-06T00:17:10.9Z stderr F here
2026-10-06T00:17:11Z stderr F 
2026-10-06T02:17:12.000000001+02:00 stdout F:x tagged
`

var criLines = []got{
	{`{"timestamp":"2026-10-06T00:17:09.669Z","level":"INFO"}`, "2026-10-06T00:17:09.669794202Z", restateLabels},
	{"first, second, third", "2026-10-06T00:17:10.5Z", restateLabels},
	{"mixed in: here", "2026-10-06T00:17:10.6Z", restateLabels},
	{"", "2026-10-06T00:17:11Z", restateLabels},
	{"tagged", "2026-10-06T02:17:12.000000001+02:00", restateLabels},
}

// As Docker 27 writes it, with its escapes and attrs.
const dockerText = `{"log":"{\"level\":\"INFO\",\"fields\":{\"message\":\"\\u003ca \u0026 b\\u003e \\\\ é\"}}\r\n","stream":"stdout","time":"2026-10-06T00:17:09.669794202Z"}
{"log":"first, ","stream":"stdout","time":"2026-10-06T00:17:10.5Z"}
{"log":"mixed in: ","stream":"stderr","attrs":{"tag":"x"},"time":"2026-10-06T00:17:10.6Z"}
{"log":"second\\n","stream":"stdout","time":"2026-10-06T00:17:10.7Z"}
{"log":", third\n","stream":"stdout","time":"2026-10-06T00:17:10.8Z"}
{"log":"here\n","stream":"stderr","time":"2026-10-06T00:17:10.9Z"}
{"log":"\n","stream":"stderr","time":"2026-10-06T00:17:11Z"}
`

var dockerLines = []got{
	{`{"level":"INFO","fields":{"message":"\u003ca & b\u003e \\ é"}}`, "2026-10-06T00:17:09.669794202Z", restateLabels},
	{`first, second\n, third`, "2026-10-06T00:17:10.5Z", restateLabels},
	{"mixed in: here", "2026-10-06T00:17:10.6Z", restateLabels},
	{"", "2026-10-06T00:17:11Z", restateLabels},
}

// dockerSpaced is the same from a writer that puts spaces between tokens.
var dockerSpaced = strings.NewReplacer(`":"`, `": "`, `,"`, `, "`).Replace(dockerText)

func TestContainerFormats(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []got
	}{
		"cri":     {criText, criLines},
		"docker":  {dockerText, dockerLines},
		"docker ": {dockerSpaced, dockerLines},
	} {
		for _, f := range []Format{FormatAuto, Format(strings.TrimSpace(name))} {
			t.Run(name+" as "+string(f), func(t *testing.T) {
				lines, _ := unwrap(t, f, tt.in, false)
				if diff := cmp.Diff(tt.want, lines); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
			})
		}
		t.Run(name+" as raw", func(t *testing.T) {
			lines, _ := unwrap(t, FormatRaw, tt.in, false)
			if len(lines) != strings.Count(tt.in, "\n") || lines[0].Line+"\n" != tt.in[:len(lines[0].Line)+1] {
				t.Errorf("%d lines, the first %q", len(lines), lines[0].Line)
			}
		})
	}
}

// What doesn't look like its format all the way is shipped as it is.
func TestDamagedContainerLogs(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []string
	}{
		"not JSON behind the beginning":    {`{"log":"a` + "\n", []string{`{"log":"a`}},
		"a program's own JSON":             {`{"log":"a\n","level":"INFO"}` + "\n", []string{`{"log":"a\n","level":"INFO"}`}},
		"no text behind the tag":           {"2026-10-06T00:17:11Z stdout F\n", []string{""}},
		"not a tag":                        {"2026-10-06T00:17:11Z stdout X\n", []string{"2026-10-06T00:17:11Z stdout X"}},
		"not a time":                       {"2026-99-06T00:17:11Z stdout F a\n", []string{"a"}},
		"damage inside of a record":        {"2026-10-06T00:17:11Z stdout P a\ngarbage\n2026-10-06T00:17:11Z stdout F b\n", []string{"a", "garbage", "b"}},
		"a record without an end":          {"2026-10-06T00:17:11Z stdout P a\n", []string{"a"}},
		"a line without an end":            {"2026-10-06T00:17:11Z stdout F a", []string{"a"}},
		"in one stream only":               {"2026-10-06T00:17:11Z stdout P a\n2026-10-06T00:17:11Z stderr F b\n", []string{"b", "a"}},
		"lines of another kind in between": {criText[:strings.Index(criText, "\n")+1] + "raw\n" + dockerText[strings.LastIndex(dockerText[:len(dockerText)-1], "\n")+1:], []string{criLines[0].Line, "raw", ""}},
		"longer than an entry":             {"2026-10-06T00:17:11Z stdout P " + strings.Repeat("a", maxLine) + "\n2026-10-06T00:17:11Z stdout F b\n", []string{strings.Repeat("a", maxLine), "b"}},
		"longer than a record": {strings.Repeat("2026-10-06T00:17:11Z stdout P "+strings.Repeat("a", maxLine-64)+"\n", 17), func() (want []string) {
			all := strings.Repeat("a", (maxLine-64)*16) // 16 of the lines fit
			for len(all) > maxLine {
				want, all = append(want, all[:maxLine]), all[maxLine:]
			}
			return append(want, all, strings.Repeat("a", maxLine-64))
		}()},
	} {
		t.Run(name, func(t *testing.T) {
			lines, _ := unwrap(t, FormatAuto, tt.in, false)
			var text []string
			for _, l := range lines {
				text = append(text, l.Line)
			}
			if diff := cmp.Diff(tt.want, text); diff != "" {
				t.Errorf("lines (-want +got):\n%.2000s", diff)
			}
		})
	}
}

func TestLabelsFromPaths(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	dir := filepath.Join(t.TempDir(), "containers", id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(filepath.Dir(dir), id[1:]+"f", id[1:]+"f-json.log")
	write(t, filepath.Join(dir, "config.v2.json"), `{"ID":"`+id+`","Name":"/shop-restate-1","Config":{"Labels":{"com.docker.compose.service":"restate"}}}`)
	pod := `kubernetes_container_name="restate", kubernetes_namespace_name="shop", kubernetes_pod_name="restate-0"`
	for _, tt := range []struct{ path, resolved, want string }{
		{"/var/log/app.log", "", restateLabels},
		{"/var/log/pods/shop_restate-0_8d7b9a4e-5f1c-4a1b-9a53-0f4f5e6d7c8b/restate/0.log", "", pod},
		{"/host/pods/shop_restate-0_8d7b9a4e-5f1c-4a1b-9a53-0f4f5e6d7c8b/restate/12.log.20261006-001709", "", pod},
		{"/var/log/pods/kube-system_etcd-node.example_0123456789abcdef0123456789abcdef/etcd/3.log", "",
			`kubernetes_container_name="etcd", kubernetes_namespace_name="kube-system", kubernetes_pod_name="etcd-node.example"`},
		{"/var/log/containers/restate-0_shop_restate-" + id + ".log", "/var/log/pods/x/0.log", pod},
		{"/logs/current.log", "/var/log/pods/shop_restate-0_8d7b9a4e-5f1c-4a1b-9a53-0f4f5e6d7c8b/restate/0.log", pod},
		{"/logs/docker.log", filepath.Join(dir, id+"-json.log"), restateLabels},
		{"/logs/docker.log", plain, restateLabels},
	} {
		l, _ := newLabeler(nil)
		s := l.fileSource(tt.path, tt.resolved)
		if got := strings.Trim(s.labels, "{}"); got != tt.want {
			t.Errorf("%s → %s: %s, want %s", tt.path, tt.resolved, got, tt.want)
		}
		if strings.HasSuffix(tt.resolved, "-json.log") != (len(s.metadata) == 1) {
			t.Errorf("%s → %s: metadata %v", tt.path, tt.resolved, s.metadata)
		}
	}
}

func TestLabelsFromDocker(t *testing.T) {
	l, _ := newLabeler(map[string]string{"env": "dev"})
	for name, tt := range map[string]struct{ attrs, want string }{
		"nothing":    {`{}`, `env="dev", kubernetes_container_name="restate"`},
		"tag":        {`{"tag":"greeter"}`, `env="dev", kubernetes_container_name="greeter"`},
		"tag is id":  {`{"tag":"0123456789ab"}`, `env="dev", kubernetes_container_name="restate"`},
		"compose":    {`{"tag":"x","com.docker.compose.service":"greeter"}`, `env="dev", kubernetes_container_name="greeter"`},
		"Kubernetes": {`{"io.kubernetes.container.name":"c","io.kubernetes.pod.name":"p","io.kubernetes.pod.namespace":"n"}`, `env="dev", kubernetes_container_name="c", kubernetes_namespace_name="n", kubernetes_pod_name="p"`},
	} {
		var from *source
		u := &unwrapper{format: FormatAuto, from: l.source(nil)}
		u.joiner.add = func(_ []byte, _ time.Time, f *source) error { from = f; return nil }
		u.docker = (&follower{labels: l}).dockerSource(u.from)
		if err := u.token([]byte(`{"log":"a\n","stream":"stdout","attrs":` + tt.attrs + `,"time":"2026-10-06T00:17:11Z"}` + "\n")); err != nil {
			t.Fatal(err)
		}
		if got := strings.Trim(from.labels, "{}"); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	given, _ := newLabeler(map[string]string{containerLabel: "mine"})
	if s := given.source(map[string]string{containerLabel: "found"}); s.labels != `{kubernetes_container_name="mine"}` {
		t.Errorf("what the user gives doesn't win: %s", s.labels)
	}
}

// Whatever comes in: nothing panics or hangs, no entry is too long, and raw text
// comes out whole.
func FuzzUnwrap(f *testing.F) {
	f.Add([]byte(criText))
	f.Add([]byte(dockerText))
	f.Add([]byte(journalText))
	f.Add([]byte("2026-10-06T00:17:11Z stdout P"))
	f.Add([]byte(`{"log":"\\\"`))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, format := range []Format{FormatAuto, FormatRaw, FormatDocker, FormatCRI, FormatJournald} {
			lines, _ := unwrap(t, format, string(in), true)
			var all bytes.Buffer
			for _, l := range lines {
				if len(l.Line) > maxLine {
					t.Fatalf("%s: an entry of %d bytes", format, len(l.Line))
				}
				all.WriteString(l.Line)
			}
			if strip := func(b []byte) string { return strings.NewReplacer("\r", "", "\n", "").Replace(string(b)) }; format == FormatRaw && strip(all.Bytes()) != strip(in) {
				t.Fatalf("%q became %q", in, all.Bytes())
			}
		}
	})
}

// However the bytes come in, the same tokens come out.
func TestRecordsInPieces(t *testing.T) {
	for _, in := range []string{criText, dockerText, dockerSpaced} {
		for size := 1; size < 80; size += 7 {
			scanner := bufio.NewScanner(&slowReader{in: in, size: size})
			scanner.Split(splitRecords(FormatAuto, true))
			tokens := 0
			for scanner.Scan() {
				tokens++
			}
			if want := map[string]int{criText: 4, dockerText: 3, dockerSpaced: 3}[in]; tokens != want {
				t.Errorf("in pieces of %d: %d tokens, want %d", size, tokens, want)
			}
		}
	}
}

type slowReader struct {
	in   string
	size int
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.in == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.size)], r.in)
	r.in = r.in[n:]
	return n, nil
}
