package filewatch

import (
	"io/fs"
	"syscall"
)

// fileID tells files apart that have the same name, size and time.
type fileID struct{ device, inode uint64 }

func idOf(info fs.FileInfo) fileID {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	return fileID{uint64(s.Dev), s.Ino} //nolint:unconvert // the device is an int32 on macOS
}
