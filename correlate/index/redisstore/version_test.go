package redisstore

import "testing"

func TestOlderThan(t *testing.T) {
	for version, want := range map[string]bool{
		"6.0.16": true, "5.0.7": true, "6.1.240": true, "": true, "x": true,
		"6.2.0": false, "6.2": false, "7.0.15": false, "7.2.4": false, "10.0.1": false, "255.255.255": false,
	} {
		if got := olderThan(version, oldest); got != want {
			t.Errorf("olderThan(%q, %q): got %t", version, oldest, got)
		}
	}
}
