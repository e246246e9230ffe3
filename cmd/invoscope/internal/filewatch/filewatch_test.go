package filewatch

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mount makes what Kubernetes makes of a ConfigMap: file → ..data/file, and ..data → a
// directory of one version.
func mount(t *testing.T, dir string) {
	t.Helper()
	version(t, dir, "v1", "old")
	must(t, os.Symlink("v1", filepath.Join(dir, "..data")))
	must(t, os.Symlink(filepath.Join("..data", "f"), filepath.Join(dir, "f")))
}

func version(t *testing.T, dir, name, text string) {
	t.Helper()
	must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	write(t, filepath.Join(dir, name, "f"), text)
}

func TestChanged(t *testing.T) {
	for name, c := range map[string]struct {
		before, change func(t *testing.T, dir string)
		want           bool
	}{
		"nothing": {func(t *testing.T, dir string) { write(t, dir+"/f", "a") }, func(*testing.T, string) {}, false},
		"read": {func(t *testing.T, dir string) { write(t, dir+"/f", "a") }, func(t *testing.T, dir string) {
			_, err := os.ReadFile(dir + "/f")
			must(t, err)
		}, false},
		"in place, of another size": {func(t *testing.T, dir string) { write(t, dir+"/f", "a") }, func(t *testing.T, dir string) { write(t, dir+"/f", "ab") }, true},
		"in place, of the same size": {func(t *testing.T, dir string) { write(t, dir+"/f", "a") }, func(t *testing.T, dir string) {
			write(t, dir+"/f", "b")
			must(t, os.Chtimes(dir+"/f", time.Time{}, time.Now().Add(time.Second)))
		}, true},
		"renamed over, of the same size and time": {func(t *testing.T, dir string) { write(t, dir+"/f", "a") }, func(t *testing.T, dir string) {
			info, err := os.Stat(dir + "/f")
			must(t, err)
			write(t, dir+"/g", "b")
			must(t, os.Chtimes(dir+"/g", time.Time{}, info.ModTime()))
			must(t, os.Rename(dir+"/g", dir+"/f"))
		}, true},
		"swapped mount": {mount, func(t *testing.T, dir string) {
			version(t, dir, "v2", "new")
			must(t, os.Symlink("v2", dir+"/..new"))
			must(t, os.Rename(dir+"/..new", dir+"/..data"))
		}, true},
		"deleted":          {func(t *testing.T, dir string) { write(t, dir+"/f", "a") }, func(t *testing.T, dir string) { must(t, os.Remove(dir+"/f")) }, true},
		"missing as ever":  {func(*testing.T, string) {}, func(*testing.T, string) {}, false},
		"come":             {func(*testing.T, string) {}, func(t *testing.T, dir string) { write(t, dir+"/f", "a") }, true},
		"another mode":     {func(t *testing.T, dir string) { write(t, dir+"/f", "a") }, func(t *testing.T, dir string) { must(t, os.Chmod(dir+"/f", 0)) }, true},
		"unreadable":       {func(t *testing.T, dir string) { must(t, os.Symlink("f", dir+"/f")) }, func(*testing.T, string) {}, false},
		"readable at last": {func(t *testing.T, dir string) { must(t, os.Symlink("f", dir+"/f")) }, func(t *testing.T, dir string) { must(t, os.Remove(dir+"/f")); write(t, dir+"/f", "a") }, true},
		"a name in a directory": {func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/f", 0o700)) }, func(t *testing.T, dir string) {
			write(t, dir+"/f/g", "a")
			must(t, os.Chtimes(dir+"/f", time.Time{}, time.Now().Add(time.Second))) // whatever the clock's grain
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.before(t, dir)
			f := Look(dir+"/f", "")
			c.change(t, dir)
			want := []string{dir + "/f"}
			if !c.want {
				want = nil
			}
			if got := f.Changed(); !slices.Equal(got, want) {
				t.Errorf("changed: %v", got)
			}
		})
	}
}

func TestAndKeepsTheEarlierLook(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "1")
	early := Look(dir + "/a")
	write(t, dir+"/a", "12")
	both := early.And(Look(dir+"/a", dir+"/b"))
	if got := both.Changed(); !slices.Equal(got, []string{dir + "/a"}) {
		t.Errorf("changed: %v", got)
	}
	if got := both.Paths(); !slices.Equal(got, []string{dir + "/a", dir + "/b"}) {
		t.Errorf("paths: %v", got)
	}
	if got := (Files{}).And(early).Changed(); !slices.Equal(got, []string{dir + "/a"}) {
		t.Errorf("of none and one: %v", got)
	}
}

// polled runs Poll over one file and returns when changes were told, since the start.
func polled(t *testing.T, path string, during func(), reload func()) (told []time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	begin, files := time.Now(), Look(path)
	done := make(chan struct{})
	go func() {
		defer close(done)
		Poll(ctx, func() Files { return files }, func([]string) {
			told = append(told, time.Since(begin))
			files = Look(path)
			reload()
		})
	}()
	during()
	cancel()
	<-done
	return told
}

func TestPollWaitsForTheChangeToBeWhole(t *testing.T) {
	for name, c := range map[string]struct {
		writes []time.Duration
		want   []time.Duration
	}{
		"none":              {nil, nil},
		"one":               {[]time.Duration{100}, []time.Duration{500}},
		"two, soon":         {[]time.Duration{100, 200}, []time.Duration{500}},
		"two, a look apart": {[]time.Duration{100, 300}, []time.Duration{750}},
		"without end":       {[]time.Duration{100, 300, 600, 800, 1100}, []time.Duration{750, 1500}},
		"two, far apart":    {[]time.Duration{100, 1100}, []time.Duration{500, 1500}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "f")
				write(t, path, "")
				begin := time.Now()
				told := polled(t, path, func() {
					text := ""
					for _, at := range c.writes {
						time.Sleep(at*time.Millisecond - time.Since(begin))
						text += "x"
						write(t, path, text)
					}
					time.Sleep(3*time.Second - time.Since(begin))
				}, func() {})
				for i := range c.want {
					c.want[i] *= time.Millisecond
				}
				if !slices.Equal(told, c.want) {
					t.Errorf("told at %v, want %v", told, c.want)
				}
			})
		})
	}
}

// What changes while a change is dealt with is told next.
func TestPollSeesAChangeDuringAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		write(t, path, "")
		times := 0
		told := polled(t, path, func() {
			time.Sleep(100 * time.Millisecond)
			write(t, path, "1")
			time.Sleep(3 * time.Second)
		}, func() {
			if times++; times == 1 {
				write(t, path, "12")
			}
		})
		if want := []time.Duration{500 * time.Millisecond, time.Second}; !slices.Equal(told, want) {
			t.Errorf("told at %v, want %v", told, want)
		}
	})
}

func TestPollSeesAFileGoAndComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		write(t, path, "1")
		told := polled(t, path, func() {
			time.Sleep(100 * time.Millisecond)
			must(t, os.Remove(path))
			time.Sleep(time.Second)
			write(t, path, "1")
			time.Sleep(time.Second)
		}, func() {})
		if want := []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}; !slices.Equal(told, want) {
			t.Errorf("told at %v, want %v", told, want)
		}
	})
}

func TestOnlyAndSame(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "1")
	write(t, dir+"/b", "1")
	all := Look(dir+"/a", dir+"/b")
	if got := all.Only(dir+"/b", dir+"/c").Paths(); !slices.Equal(got, []string{dir + "/b"}) {
		t.Errorf("only %v", got)
	}
	if !all.Same(Look(dir+"/a", dir+"/b")) || all.Same(Look(dir+"/a")) {
		t.Error("the same files differ, or fewer don't")
	}
	write(t, dir+"/a", "12")
	if all.Same(Look(dir+"/a", dir+"/b")) {
		t.Error("a changed file is the same")
	}
}
