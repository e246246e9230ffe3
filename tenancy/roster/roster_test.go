package roster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, path string) *Roster {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() }) // a test may have closed it
	return r
}

func want(t *testing.T, r *Roster, tenants ...string) {
	t.Helper()
	if got := r.Tenants(); !slices.Equal(got, tenants) {
		t.Errorf("%q, want %q", got, tenants)
	}
}

func TestTenantsAreRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tenants")
	r := open(t, path)
	want(t, r)
	r.Name("default", "named")
	for _, tenant := range []string{"seen", "named", "another", "seen"} {
		if err := r.Seen(tenant); err != nil {
			t.Fatal(err)
		}
	}
	want(t, r, "another", "default", "named", "seen")
	r.Name("default")
	want(t, r, "another", "default", "named", "seen") // one that has written has data
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "seen\nnamed\nanother\n" {
		t.Errorf("%q, %v", b, err)
	}
	r = open(t, path)
	want(t, r, "another", "named", "seen")
}

func TestDamagedFiles(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"cut off":     {"acme\nbet", []string{"acme"}},
		"no names":    {"a|b\n..\n\n a\nacme\n", []string{"acme"}},
		"long":        {strings.Repeat("x", 5000) + "\nacme\n" + strings.Repeat("y", 128) + "\nb\n", []string{"acme", "b"}},
		"longer tail": {"acme\n" + strings.Repeat("x", 5000), []string{"acme"}},
		"zeroes":      {"acme\n\x00\x00\x00\x00", []string{"acme"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tenants")
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			r := open(t, path)
			want(t, r, c.want...)
			if err := r.Seen("new"); err != nil {
				t.Fatal(err)
			}
			want(t, open(t, path), append(slices.Clone(c.want), "new")...)
		})
	}
}

func TestOnlyTenantsAreNoted(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "tenants"))
	for _, name := range []string{"", "a|b", "..", "a\nb", strings.Repeat("x", 65)} {
		if r.Seen(name) == nil {
			t.Errorf("%q was noted", name)
		}
	}
	want(t, r)
}

func TestUnwritable(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "tenants"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r.Seen("acme") == nil {
		t.Error("nothing was said")
	}
	want(t, r, "acme")
	if err := r.Seen("acme"); err != nil {
		t.Error("it is said for every request:", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "missing", "tenants")); err == nil {
		t.Error("opened in no directory")
	}
}

func TestConcurrentUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tenants")
	r := open(t, path)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				if err := r.Seen(fmt.Sprint("t", i)); err != nil {
					t.Error(err)
				}
				if !slices.IsSorted(r.Tenants()) {
					t.Error("not sorted")
				}
			}
		})
	}
	wg.Wait()
	if b, err := os.ReadFile(path); err != nil || strings.Count(string(b), "\n") != 100 || len(r.Tenants()) != 100 {
		t.Errorf("%d tenants, %d lines, %v", len(r.Tenants()), strings.Count(string(b), "\n"), err)
	}
}

func BenchmarkSeen(b *testing.B) {
	r := open(b, filepath.Join(b.TempDir(), "tenants"))
	if err := r.Seen("acme"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Seen("acme"); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("acme\nb"))
	f.Add([]byte(strings.Repeat("x", 300) + "\r\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		path := filepath.Join(t.TempDir(), "tenants")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		before := open(t, path)
		if err := before.Seen("new"); err != nil {
			t.Fatal(err)
		}
		if after := open(t, path); !slices.Equal(after.Tenants(), before.Tenants()) {
			t.Errorf("%q became %q", before.Tenants(), after.Tenants())
		}
	})
}
