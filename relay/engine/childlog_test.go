package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"
)

// textLog is a log whose lines can be compared.
func textLog(out *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func TestChildLog(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"info is our debug": {
			`level=info ts=2026-01-02T03:04:05.6Z caller=main.go:1 msg="Starting Loki" version="(version=, branch=)"`,
			`level=DEBUG msg="Starting Loki" caller=main.go:1 version="(version=, branch=)"`,
		},
		"warning": {
			`ts=2026-01-02T03:04:05Z level=warn msg="slow disk" component=wal`,
			`level=WARN msg="slow disk" component=wal`,
		},
		"error": {
			`level=error caller=x.go:2 msg="write failed" err="no space left"`,
			`level=ERROR msg="write failed" caller=x.go:2 err="no space left"`,
		},
		"of slog": {
			`time=2026-01-02T03:04:05Z level=INFO source=a.go:3 msg="creating WAL" tenant=acme`,
			`level=DEBUG msg="creating WAL" source=a.go:3 tenant=acme`,
		},
		"harmless": {
			`level=warn msg="known" err=null`,
			`level=DEBUG msg=known err=null`,
		},
		"a panic": {
			"panic: runtime error: index out of range [1]",
			`level=WARN msg="panic: runtime error: index out of range [1]"`,
		},
		"not logfmt": {
			`level=info msg="unterminated`,
			`level=WARN msg="level=info msg=\"unterminated"`,
		},
		"unknown level": {
			`level=loud msg=x`,
			`level=WARN msg="level=loud msg=x"`,
		},
		"without message": {
			`level=error err=x`,
			`level=ERROR msg="(no message)" err=x`,
		},
		"carriage return and blank lines": {
			"\n\r\nlevel=warn msg=x\r\n\n",
			`level=WARN msg=x`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			logs := newChildLog(textLog(&out), kind{harmless: []string{"known"}})
			logs.copy(strings.NewReader(tt.in))
			if got := strings.TrimSpace(out.String()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestChildLogKeepsLongLines(t *testing.T) {
	for _, size := range []int{10, 64 << 10, 300 << 10, 3 << 20} {
		var out bytes.Buffer
		logs := newChildLog(textLog(&out), kind{})
		logs.copy(strings.NewReader(strings.Repeat("z", size) + "\nlevel=warn msg=next\n"))
		if got := strings.Count(out.String(), "z"); got != size {
			t.Errorf("%d of %d bytes were logged", got, size)
		}
		if !strings.Contains(out.String(), "msg=next") {
			t.Errorf("the line after one of %d bytes is missing", size)
		}
	}
}

func TestChildLogKeepsTheLastLines(t *testing.T) {
	logs := newChildLog(slog.New(slog.DiscardHandler), kind{})
	for i := range 50 {
		logs.line(fmt.Appendf(nil, "line %d %s", i, strings.Repeat("é", 1000)))
	}
	lines := strings.Split(logs.lines(), "\n")
	if len(lines) != lastLines || !strings.HasPrefix(lines[0], "line 30 ") || !strings.HasPrefix(lines[19], "line 49 ") {
		t.Errorf("kept %d lines, from %.10q to %.10q", len(lines), lines[0], lines[len(lines)-1])
	}
	if n := len(logs.lines()); n > lastLines*(lastLineBytes+5) {
		t.Errorf("they take %d bytes", n)
	}
}

func TestChildLogWhileStopping(t *testing.T) {
	var out bytes.Buffer
	logs := newChildLog(textLog(&out), kind{isSaved: isTempoSaved})
	saved := []byte(`level=info msg="module stopped" module=ingester`)
	logs.line(saved)
	select {
	case <-logs.saved:
		t.Error("saved before the stop")
	default:
	}
	logs.stopping.Store(true)
	logs.line([]byte(`level=error msg="context canceled"`))
	logs.line([]byte(`level=info msg="module stopped" module=distributor`))
	logs.line(saved)
	logs.line(saved)
	select {
	case <-logs.saved:
	default:
		t.Error("not saved")
	}
	if strings.Contains(out.String(), "ERROR") {
		t.Errorf("an error of the stop is shown:\n%s", out.String())
	}
}

// What the engines write when their disk is full: Loki 3.7.8 and Tempo 2.9.0.
const (
	lokiDiskFull  = `level=error ts=2026-11-25T01:22:16.926Z caller=instance.go:269 msg="Error writing to WAL, disk full, no further messages will be logged for this error"`
	tempoDiskFull = `level=error ts=2026-11-25T01:22:28.444Z caller=flush.go:184 org_id=acme msg="failed to cut traces" err="error closing writer: write 0000000002: no space left on device"`
)

func TestChildLogTellsOfALoss(t *testing.T) {
	for name, tt := range map[string]struct {
		isLosing func(logRecord) bool
		line     string
		want     bool
	}{
		"loki, disk full":       {isLokiLosing, lokiDiskFull, true},
		"loki, something else":  {isLokiLosing, `level=error msg="failed to flush" err="no space left on device"`, false},
		"tempo, disk full":      {isTempoLosing, tempoDiskFull, true},
		"tempo, no block":       {isTempoLosing, `level=error msg="failed to cut block" err="no space left on device"`, true},
		"tempo, something else": {isTempoLosing, `level=error msg="failed to complete block" err="no space left on device"`, false},
		"no such line is known": {nil, tempoDiskFull, false},
	} {
		t.Run(name, func(t *testing.T) {
			logs := newChildLog(slog.New(slog.DiscardHandler), kind{isLosing: tt.isLosing})
			logs.copy(strings.NewReader("level=info msg=begins\n" + strings.Repeat(tt.line+"\n", 2)))
			got := false
			select {
			case <-logs.losing:
				got = true
			default:
			}
			if got != tt.want {
				t.Errorf("losing: %v, want %v", got, tt.want)
			}
		})
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`level=info ts=2026-01-02T03:04:05.6Z caller=main.go:1 msg="Starting \"it\"" n=1`))
	f.Add([]byte("panic: x\x00\xff"))
	f.Add([]byte(`level= ==" =`))
	f.Fuzz(func(t *testing.T, line []byte) {
		rec := parseLine(line)
		if len(bytes.TrimSpace(line)) > 0 && rec.msg == "" {
			t.Error("the line is lost")
		}
		if !utf8.ValidString(rec.msg) {
			t.Errorf("message %q", rec.msg)
		}
	})
}

func BenchmarkChildLog(b *testing.B) {
	line := []byte(`level=info ts=2026-01-02T03:04:05.678901234Z caller=engine.go:263 component=querier org_id=acme msg="executing query" query="{app=\"x\"} |= \"y\"" length=1h0m0s step=14s`)
	logs := newChildLog(slog.New(slog.DiscardHandler), kind{})
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		logs.line(line)
	}
}
