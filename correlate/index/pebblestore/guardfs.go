package pebblestore

import (
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guardFS is a file system whose writes succeed, wait, or never return.
type guardFS struct {
	vfs.FS
	*guard
}

func (g guardFS) Unwrap() vfs.FS { return g.FS }

// Lock remembers the lock, for when Pebble can't be closed.
func (g guardFS) Lock(name string) (io.Closer, error) {
	lock, err := g.FS.Lock(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLocked, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lock = lock
	return lock, nil
}

// isTable reports whether Pebble writes a file anew when it couldn't be written.
func isTable(name string) bool { return strings.HasSuffix(name, ".sst") }

// create does what makes a file.
func (g guardFS) create(name string, open func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	do := func() (err error) {
		file, err = open()
		return err
	}
	if isTable(name) {
		if err := g.table("create "+g.PathBase(name), do); err != nil {
			return nil, err
		}
	} else {
		g.retry("create "+g.PathBase(name), do)
	}
	return &guardFile{File: file, guard: g.guard, name: g.PathBase(name)}, nil
}

func (g guardFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create(name, func() (vfs.File, error) { return g.FS.Create(name, c) })
}

func (g guardFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create(newname, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, c) })
}

func (g guardFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.create(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, opts...) })
}

func (g guardFS) OpenDir(name string) (vfs.File, error) {
	file, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardFile{File: file, guard: g.guard, name: g.PathBase(name)}, nil
}

func (g guardFS) Rename(oldname, newname string) error {
	g.retry("rename "+g.PathBase(oldname), func() error { return g.FS.Rename(oldname, newname) })
	return nil
}

func (g guardFS) MkdirAll(dir string, perm fs.FileMode) error {
	g.retry("make "+dir, func() error { return g.FS.MkdirAll(dir, perm) })
	return nil
}

func (g guardFS) Remove(name string) error {
	g.enter()
	return g.FS.Remove(name)
}

func (g guardFS) RemoveAll(name string) error {
	g.enter()
	return g.FS.RemoveAll(name)
}

// guardFile is a file that is written, or a directory.
type guardFile struct {
	vfs.File
	*guard
	name string
}

func (f *guardFile) Write(p []byte) (int, error) {
	n := 0
	do := func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	}
	if isTable(f.name) {
		return n, f.table("write "+f.name, do)
	}
	f.retry("write "+f.name, do)
	return n, nil
}

func (f *guardFile) WriteAt(p []byte, off int64) (int, error) {
	f.retry("write "+f.name, func() error {
		_, err := f.File.WriteAt(p, off)
		return err
	})
	return len(p), nil
}

func (f *guardFile) sync(do func() error) error {
	if isTable(f.name) {
		return f.table("sync "+f.name, do)
	}
	f.once("sync "+f.name, do)
	return nil
}

func (f *guardFile) Sync() error { return f.sync(f.File.Sync) }

func (f *guardFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *guardFile) SyncTo(length int64) (full bool, err error) {
	err = f.sync(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// Close may be the first to say that a write failed.
func (f *guardFile) Close() error { return f.sync(f.File.Close) }

// Preallocate only helps; where it can't, a write finds out.
func (f *guardFile) Preallocate(offset, length int64) error {
	f.enter()
	if err := f.File.Preallocate(offset, length); err != nil {
		return nil //nolint:nilerr // see above
	}
	return nil
}
