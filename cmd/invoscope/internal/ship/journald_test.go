package ship

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/fileconsumer/attrs"
)

// journalText is what journalctl -o json --all of systemd 252 prints, shortened.
const journalText = `{"__REALTIME_TIMESTAMP":"1795563312123456","_TRANSPORT":"stdout","_STREAM_ID":"aaaa","MESSAGE":"{\"timestamp\":\"2026-11-24T23:35:12.123456Z\",\"level\":\"INFO\"}","_SYSTEMD_UNIT":"restate.service","__CURSOR":"s=bb;i=1"}
{"__CURSOR":"s=bb;i=2","__REALTIME_TIMESTAMP":"1795563312123457","MESSAGE":[27,91,51,50,109,103,114,195,188,110,27,91,48,109],"_SYSTEMD_UNIT":"restate-server.service"}
{"MESSAGE":"Accepted publickey","__REALTIME_TIMESTAMP":"1795563312200000","_SYSTEMD_UNIT":"ssh.service","SYSLOG_IDENTIFIER":"sshd","__CURSOR":"s=bb;i=3"}
{"_SYSTEMD_UNIT":"session-12.scope","SYSLOG_IDENTIFIER":"restate","CONTAINER_NAME":"restate","_COMM":"sudo","__REALTIME_TIMESTAMP":"1795563312300000","MESSAGE":"two\nlines","__CURSOR":"s=bb;i=4"}
{"_SYSTEMD_UNIT":"docker.service","CONTAINER_NAME":"greeter","CONTAINER_ID_FULL":"c1","CONTAINER_PARTIAL_MESSAGE":"true","__REALTIME_TIMESTAMP":"1795563312400000","MESSAGE":"half ","__CURSOR":"s=bb;i=5"}
{"_SYSTEMD_UNIT":"user@1000.service","_SYSTEMD_USER_UNIT":"restate@1.service","_STREAM_ID":"bbbb","_LINE_BREAK":"line-max","__REALTIME_TIMESTAMP":"1795563312500000","MESSAGE":"long ","__CURSOR":"s=bb;i=6"}
{"_SYSTEMD_UNIT":"docker.service","CONTAINER_NAME":"greeter","CONTAINER_ID_FULL":"c1","__REALTIME_TIMESTAMP":"1795563312600000","MESSAGE":"whole","__CURSOR":"s=bb;i=7"}
{"_SYSTEMD_UNIT":"user@1000.service","_SYSTEMD_USER_UNIT":"restate@1.service","_STREAM_ID":"bbbb","__REALTIME_TIMESTAMP":"1795563312700000","MESSAGE":"line","__CURSOR":"s=bb;i=8"}
{"_SYSTEMD_UNIT":"restate.service","__REALTIME_TIMESTAMP":"1795563312800000","MESSAGE":null,"__CURSOR":"s=bb;i=9"}
{"_SYSTEMD_UNIT":"run-r0123abcd.service","_COMM":"bash","SYSLOG_IDENTIFIER":"restate","__REALTIME_TIMESTAMP":"1795563312900000","MESSAGE":["twice","there"],"__CURSOR":"s=bb;i=10"}
{"_SYSTEMD_UNIT":"restate.service","__REALTIME_TIMESTAMP":"1795563313000000","COREDUMP":"no message","__CURSOR":"s=bb;i=11"}
`

func TestJournald(t *testing.T) {
	want := []got{
		{`{"timestamp":"2026-11-24T23:35:12.123456Z","level":"INFO"}`, "2026-11-24T23:35:12.123456Z", restateLabels + `, unit="restate.service"`},
		{"\x1b[32mgrün\x1b[0m", "2026-11-24T23:35:12.123457Z", restateLabels + `, unit="restate-server.service"`},
		{"Accepted publickey", "2026-11-24T23:35:12.2Z", `kubernetes_container_name="ssh", unit="ssh.service"`},
		{"two\nlines", "2026-11-24T23:35:12.3Z", `kubernetes_container_name="sudo"`},
		{"half whole", "2026-11-24T23:35:12.4Z", `kubernetes_container_name="greeter", unit="docker.service"`},
		{"long line", "2026-11-24T23:35:12.5Z", restateLabels + `, unit="restate@1.service"`},
		{"twice", "2026-11-24T23:35:12.9Z", `kubernetes_container_name="bash"`},
	}
	for _, f := range []Format{FormatAuto, FormatJournald} {
		lines, log := unwrap(t, f, journalText, true)
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("%s: lines (-want +got):\n%s", f, diff)
		}
		if n := strings.Count(log, "--all"); n != 1 {
			t.Errorf("%s: %d hints at --all: %s", f, n, log)
		}
	}
	// From a file nothing is kept back: its place may be saved at any time.
	lines, _ := unwrap(t, FormatAuto, journalText, false)
	if len(lines) != len(want)+2 {
		t.Errorf("%d lines from a file, want %d", len(lines), len(want)+2)
	}
}

// Lines whose end never comes don't pile up, and come out.
func TestJournaldOpenLinesAreBounded(t *testing.T) {
	var in strings.Builder
	for i := range 2*maxOpen + 1 {
		fmt.Fprintf(&in, `{"_STREAM_ID":"%d","_LINE_BREAK":"line-max","__REALTIME_TIMESTAMP":"%d","MESSAGE":"%[1]d"}`+"\n", i, 1795563312000000+i)
	}
	lines, _ := unwrap(t, FormatJournald, in.String(), true)
	if len(lines) != 2*maxOpen+1 {
		t.Errorf("%d lines, want %d", len(lines), 2*maxOpen+1)
	}
}

// Several files are read at once, and each may hold a journal.
func TestJournalsInSeveralFiles(t *testing.T) {
	l, err := newLabeler(nil)
	if err != nil {
		t.Fatal(err)
	}
	add := func(line []byte, _ time.Time, from *source) error {
		if name, _, _ := strings.Cut(string(line), " "); !strings.Contains(from.labels, `unit="`+name+`.service"`) {
			t.Errorf("%q in %s", line, from.labels)
		}
		return nil
	}
	f, err := newFollower(add, l, Options{Format: FormatAuto, Log: discard()})
	if err != nil {
		t.Fatal(err)
	}
	var files sync.WaitGroup
	for i := range 4 {
		files.Go(func() {
			for n := range 1000 {
				entry := fmt.Appendf(nil, `{"__REALTIME_TIMESTAMP":"1","_SYSTEMD_UNIT":"u%d.service","MESSAGE":"u%d %d"}`, i, i, n)
				if err := f.emit(t.Context(), [][]byte{entry}, map[string]any{attrs.LogFilePath: fmt.Sprint(i)}, 0, []int64{0, 0}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	files.Wait()
}

// Other JSON logs begin like Docker's, and a pipe has no time after which a line is
// given up.
func TestLinesThatOnlyBeginLikeDockers(t *testing.T) {
	const line = `{"log":"hello","level":"info"}` + "\n"
	if n, token, err := splitRecords(FormatAuto, true)([]byte(line), false); n != len(line) || err != nil {
		t.Errorf("%d %q %v", n, token, err)
	}
}
