package correlate

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// sameText compares with encoding/json. What that takes for no string isn't compared,
// nor what isn't UTF-8, which it replaces.
func sameText(t *testing.T, raw string) {
	t.Helper()
	var want string
	if json.Unmarshal([]byte(`"`+raw+`"`), &want) == nil && utf8.ValidString(raw) {
		equal(t, raw, unescape(raw), want)
	}
}

var texts = []string{
	"", "plain", `\"`, `a\\b`, `\/\b\f\n\r\t`, `\u001b[33m`, `\u00e4\u4E2D`, `\ud83d\ude00`, `\ud83d`, `\ud83dx`, `\ude00\ud83d`, `\ud83d\ud83d\ude00`, `\ud83d\n`,
}

func TestUnescape(t *testing.T) {
	for _, raw := range texts {
		sameText(t, raw)
	}
	for _, bad := range []string{`\`, `a\`, `\x`, `\u`, `\u123`, `\u12g4`, `\u+123`, `a\nb\q`} {
		equal(t, bad, unescape(bad), bad)
	}
}

func FuzzUnescape(f *testing.F) {
	for _, raw := range texts {
		f.Add(raw)
	}
	f.Fuzz(sameText)
}
