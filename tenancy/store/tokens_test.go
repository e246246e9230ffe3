package store

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

func listed(t *testing.T, s *Store) []Token {
	t.Helper()
	tokens, err := s.Tokens()
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestAPIToken(t *testing.T) {
	s, c := newStore(t)
	token, made := issue(t, s, API, nil)
	signed, other := issue(t, s, JWT, nil)
	for name, tt := range map[string]struct {
		token string
		want  error
	}{
		"right":           {token, nil},
		"wrong secret":    {token[:len(token)-1] + "0", ErrWrongSecret},
		"more":            {token + "A", ErrWrongSecret},
		"no secret":       {tenancy.APITokenPrefix + made.ID, ErrWrongSecret},
		"unknown":         {tenancy.APITokenPrefix + "x_y", fs.ErrNotExist},
		"a path":          {tenancy.APITokenPrefix + "../revocations_y", fs.ErrNotExist},
		"a JWT":           {signed, fs.ErrNotExist},
		"the id of a JWT": {tenancy.APITokenPrefix + other.ID + "_y", fs.ErrNotExist},
	} {
		got, err := s.APIToken(tt.token)
		if !errors.Is(err, tt.want) || err == nil && got.ID != made.ID {
			t.Errorf("%s: %v, %v; want %v", name, got, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), token[len(token)-10:]) {
			t.Errorf("%s: the error has the secret: %v", name, err)
		}
	}
	c.advance(2 * tenancy.DefaultLife)
	if got, err := s.APIToken(token); err != nil || got.ID != made.ID {
		t.Errorf("an expired one: %v, %v", got, err)
	}
}

func TestExpiredTokensAreForgotten(t *testing.T) {
	s, c := newStore(t)
	hour := func(g *tenancy.Grant) { g.Life = time.Hour }
	issue(t, s, JWT, hour)
	issue(t, s, API, hour)
	_, long := issue(t, s, API, nil)
	writeFile(t, filepath.Join(s.tokenDir(), "."+long.ID+".json123"), "what a crash has left")
	writeFile(t, filepath.Join(s.tokenDir(), "README"), "an operator's own")

	c.advance(time.Hour)
	if got := listed(t, s); len(got) != 1 || got[0].ID != long.ID {
		t.Errorf("listed %v, want the one that hasn't expired", got)
	}
	api, err := s.APITokens()
	if err != nil || !slices.Equal(slices.Collect(maps.Keys(api)), []string{long.ID}) {
		t.Errorf("API tokens %v, %v; want the one that hasn't expired", api, err)
	}
	c.advance(sweepEvery)
	_, last := issue(t, s, JWT, nil)
	want := []string{sweptName, long.ID + ".json", last.ID + ".json", "README"}
	slices.Sort(want)
	wantEntries(t, s.tokenDir(), want...)
}

func TestTokensRefuses(t *testing.T) {
	s, _ := newStore(t)
	_, made := issue(t, s, API, nil)
	path := s.recordFile(made.ID)
	good := readAll(t, path)
	change := func(name string, value any) string {
		var fields map[string]any
		if err := json.Unmarshal([]byte(good), &fields); err != nil {
			t.Fatal(err)
		}
		fields[name] = value
		changed, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return string(changed)
	}
	for name, content := range map[string]string{
		"empty":            "",
		"half":             good[:len(good)/2],
		"no object":        "[]",
		"no version":       change("version", 0),
		"later version":    change("version", 2),
		"unknown field":    change("audience", "x"),
		"goes on":          good + "{}",
		"another's":        change("id", "ABC"),
		"unknown kind":     change("kind", "cookie"),
		"a bad tenant":     change("tenant", "a|b"),
		"a bad one read":   change("tenants", []string{"a", ".."}),
		"no tenant":        change("tenant", ""),
		"no hash":          change("sha256", ""),
		"half a hash":      change("sha256", "abcd"),
		"no end":           change("expires", time.Time{}),
		"ends before":      change("expires", time.Unix(0, 0)),
		"a date of no use": change("issued", "soon"),
		"large":            good + strings.Repeat(" ", maxRecord),
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, path, content)
			_, err := s.APITokens()
			_, listErr := Open(s.dir, s.now).Tokens()
			if err == nil || listErr == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("errors %v and %v, want ones with the path", err, listErr)
			}
		})
	}
	writeFile(t, path, good)
	if tokens, err := s.APITokens(); err != nil || len(tokens) != 1 {
		t.Errorf("the file as it was: %v, %v", tokens, err)
	}
	if err := os.Chmod(path, 0o602); err != nil {
		t.Fatal(err)
	}
	if _, err := s.APITokens(); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("a file that others write: error = %v, want the chmod to run", err)
	}
}

// What is remembered of files must not outlive them.
func TestTokensFollowTheFiles(t *testing.T) {
	s, _ := newStore(t)
	_, first := issue(t, s, API, nil)
	_, second := issue(t, s, API, nil)
	if got := listed(t, s); len(got) != 2 {
		t.Fatalf("listed %v", got)
	}
	if err := os.Remove(s.recordFile(first.ID)); err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.recordFile(second.ID), strings.Replace(readAll(t, s.recordFile(second.ID)), `"ci"`, `"laptop"`, 1))
	if got := listed(t, s); len(got) != 1 || got[0].Subject != "laptop" {
		t.Errorf("listed %v, want the second as it is now", got)
	}
}

// Kubernetes mounts files as links, and changes where they lead.
func TestTokensFollowLinks(t *testing.T) {
	s, _ := newStore(t)
	_, made := issue(t, s, API, nil)
	elsewhere := t.TempDir()
	for _, subject := range []string{"one", "another"} {
		content := strings.Replace(readAll(t, s.recordFile(made.ID)), `"ci"`, `"`+subject+`"`, 1)
		writeFile(t, filepath.Join(elsewhere, subject, "record"), content)
	}
	link := filepath.Join(elsewhere, "data")
	if err := errors.Join(os.Remove(s.recordFile(made.ID)), os.Symlink("one", link),
		os.Symlink(filepath.Join(link, "record"), s.recordFile(made.ID))); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, s); len(got) != 1 || got[0].Subject != "one" {
		t.Errorf("listed %v", got)
	}
	if err := errors.Join(os.Remove(link), os.Symlink("another", link)); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, s); len(got) != 1 || got[0].Subject != "another" {
		t.Errorf("after the swap: listed %v", got)
	}
}

// Who looks only at the directory's modification time notices every token.
func TestEachTokenChangesTheDirectory(t *testing.T) {
	s, _ := newStore(t)
	seen := map[time.Time]bool{}
	const tokens = 50
	for range tokens {
		issue(t, s, API, nil)
		info, err := os.Stat(s.tokenDir())
		if err != nil {
			t.Fatal(err)
		}
		seen[info.ModTime()] = true
	}
	if len(seen) != tokens {
		t.Errorf("%d tokens gave the directory %d times", tokens, len(seen))
	}
}
