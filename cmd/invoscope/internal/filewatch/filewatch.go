package filewatch

import (
	"io/fs"
	"maps"
	"os"
	"slices"
)

// stamp is what tells one state of a file from another. A missing file has the
// zero stamp but for its error.
type stamp struct {
	id       fileID
	modified int64 // in nanoseconds since 1970
	size     int64
	mode     fs.FileMode
	err      string
}

// Files are paths and how they were. The zero value is of none.
type Files struct {
	stamps map[string]stamp
}

// Look returns how the files and directories at paths are now; empty paths are left
// out. Of a directory it shows which names are in it, not what they hold.
func Look(paths ...string) Files {
	f := Files{stamps: make(map[string]stamp, len(paths))}
	for _, p := range paths {
		if p != "" {
			f.stamps[p] = look(p)
		}
	}
	return f
}

func look(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{err: err.Error()}
	}
	return stamp{id: idOf(info), modified: info.ModTime().UnixNano(), size: info.Size(), mode: info.Mode()}
}

// Paths returns the paths, sorted.
func (f Files) Paths() []string { return slices.Sorted(maps.Keys(f.stamps)) }

// And returns f with those of others that it doesn't have. Of a path that both have
// f's look counts, so let f be the earlier.
func (f Files) And(others Files) Files {
	all := maps.Clone(others.stamps)
	if all == nil {
		all = map[string]stamp{}
	}
	maps.Copy(all, f.stamps)
	return Files{stamps: all}
}

// Changed returns the paths that are no longer as they were, sorted.
func (f Files) Changed() []string {
	return Look(f.Paths()...).differ(f)
}

// Same reports whether f and g are of the same paths, as they were at the same time.
func (f Files) Same(g Files) bool { return maps.Equal(f.stamps, g.stamps) }

// differ returns the paths of f that are otherwise in g.
func (f Files) differ(g Files) []string {
	var paths []string
	for _, p := range f.Paths() {
		if f.stamps[p] != g.stamps[p] {
			paths = append(paths, p)
		}
	}
	return paths
}

// Only returns those of f that are at paths.
func (f Files) Only(paths ...string) Files {
	some := Files{stamps: map[string]stamp{}}
	for _, p := range paths {
		if s, ok := f.stamps[p]; ok {
			some.stamps[p] = s
		}
	}
	return some
}
