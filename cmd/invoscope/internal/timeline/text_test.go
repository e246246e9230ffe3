package timeline

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain text", "hello, wörld ✓", "hello, wörld ✓"},
		{"Restate's colours", "\x1b[2m2026\x1b[0m \x1b[1;3;33mWARN\x1b[0m\x1b[38;5;208m!", "2026 WARN!"},
		{"a window's title", "\x1b]0;pwned\x07", `\x1b]0;pwned\x07`},
		{"a cursor that moves up", "a\x1b[2Ab", `a\x1b[2Ab`},
		{"a cleared screen", "\x1b[2J\x1b[H", `\x1b[2J\x1b[H`},
		{"a clipboard", "\x1b]52;c;cm0gLXJm\x1b\\", `\x1b]52;c;cm0gLXJm\x1b\`},
		{"colours within another sequence", "\x1b\x1b[31m[2J", `\x1b[2J`},
		{"a line that is written over", "failed\rsucceeded", `failed\x0dsucceeded`},
		{"backspaces", "no\b\byes", `no\x08\x08yes`},
		{"an 8-bit control sequence", "\u009b2J", `\u009b2J`},
		{"one that isn't UTF-8", "\x9b2J", `\x9b2J`},
		{"text that turns around", "a\u202egnp.exe", `a\u202egnp.exe`},
		{"a tab", "a\tb", "a b"},
		{"delete", "\x7f", `\x7f`},
		{"newlines", "a\nb\u2028c", `a\x0ab\u2028c`},
	} {
		if got := Clean(c.in); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// FuzzClean holds that nothing but printable text comes out, and all of it that
// goes in.
func FuzzClean(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[31mred\x1b[0m \x1b]0;t\x07 \u009b \xff\u202e\t\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) || strings.IndexFunc(got, harmful) >= 0 {
			t.Errorf("%q became %q", s, got)
		}
		if strings.IndexFunc(s, harmful) < 0 && utf8.ValidString(s) && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}

// FuzzJSONWriter holds that JSON stays what it says, and harms no terminal.
func FuzzJSONWriter(f *testing.F) {
	f.Add("plain \x7f\u009b\u202e\x1b")
	f.Fuzz(func(t *testing.T, s string) {
		var out bytes.Buffer
		if err := json.NewEncoder(JSONWriter(&out)).Encode(s); err != nil {
			t.Fatal(err)
		}
		line := strings.TrimSuffix(out.String(), "\n")
		if strings.IndexFunc(line, harmful) >= 0 {
			t.Errorf("%q became %q", s, line)
		}
		var back, plain string
		standard, err := json.Marshal(s)
		if err != nil || json.Unmarshal([]byte(line), &back) != nil || json.Unmarshal(standard, &plain) != nil || back != plain {
			t.Errorf("%q became %q", s, line)
		}
	})
}

func TestColumns(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "über": 4, "日本": 4, "e\u0301": 1, "├─ ": 3, "·…┊": 3} {
		if got := columns(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	if got := fit("日本語", 5); got != "日本" {
		t.Errorf("5 columns hold %q", got)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Microsecond: "0.4ms", 206 * time.Millisecond: "206ms", 999800 * time.Microsecond: "1.00s",
		5888 * time.Millisecond: "5.89s", 25 * time.Second: "25.0s", 65 * time.Second: "1m05s",
		125 * time.Minute: "2h05m", 50 * time.Hour: "2d02h", -time.Second: "-1.00s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%d ns is %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "+0.000s", 12065 * time.Millisecond: "+12.065s", 61001 * time.Millisecond: "+1m01.001", -2 * time.Millisecond: "-0.002s", 3*time.Hour + time.Second: "+3h00m01s",
	} {
		if got := offset(d); got != want {
			t.Errorf("%d ns is %q, want %q", d, got, want)
		}
	}
}
