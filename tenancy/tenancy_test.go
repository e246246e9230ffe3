package tenancy

import (
	"strings"
	"testing"
)

// badTenants are names that reach across tenants in an engine, or break out of
// its directories, and their kin.
func badTenants() map[string]string {
	return map[string]string{
		"empty":         "",
		"federation":    "a|b",
		"suffix":        "a:b",
		"parent":        "..",
		"current":       ".",
		"path":          "../../../x",
		"slash":         "a/b",
		"dot inside":    "a.b",
		"space":         "a b",
		"NUL":           "a\x00b",
		"line break":    "a\nb",
		"header break":  "a\r\nX-Scope-OrgID: b",
		"comma":         "a,b",
		"not ASCII":     "ténant",
		"look-alike":    "аcme", // the first letter is Cyrillic
		"invalid UTF-8": "a\xffb",
		"65 bytes":      strings.Repeat("a", 65),
		"10 KB":         strings.Repeat("a", 10_000),
	}
}

func TestValidTenant(t *testing.T) {
	for _, name := range []string{"default", "a", "A-b_9", "0", "-", "_", strings.Repeat("a", 64)} {
		if err := ValidTenant(name); err != nil {
			t.Errorf("ValidTenant(%q) = %v", name, err)
		}
	}
	for what, name := range badTenants() {
		err := ValidTenant(name)
		if err == nil {
			t.Errorf("%s: accepted %.80q", what, name)
		} else if len(err.Error()) > 400 {
			t.Errorf("%s: an error of %d bytes", what, len(err.Error()))
		}
	}
}

func TestParseScope(t *testing.T) {
	for _, want := range Scopes() {
		if got, err := ParseScope(string(want)); err != nil || got != want {
			t.Errorf("ParseScope(%q) = %q, %v", want, got, err)
		}
	}
	_, err := ParseScope("logs:raed")
	if err == nil {
		t.Fatal("accepted an unknown scope")
	}
	for _, s := range Scopes() {
		if !strings.Contains(err.Error(), string(s)) {
			t.Errorf("error %q doesn't name %s", err, s)
		}
	}
}
