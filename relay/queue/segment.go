package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// The layout of a wlog segment, from the format that Prometheus documents
// (tsdb/docs/format/wal.md): pages of 32 KiB, in which a record stands whole or
// as fragments. A fragment has a header of 7 bytes: type, length of the data (2
// bytes) and its CRC-32C (4 bytes). No fragment begins where less than a header
// is left of a page.
const (
	pageBytes     = 32 << 10
	fragmentBytes = 7
)

// The types of fragments.
const (
	fragmentFull = 1 + iota
	fragmentFirst
	fragmentMiddle
	fragmentLast
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged is returned for a record that is not what was written.
var errDamaged = errors.New("the record is damaged")

// location says where in the log a record stands.
type location struct {
	segment int
	offset  int64 // of its first fragment
	size    int   // of the record, without the fragments' headers
}

// after is where wlog writes next when it has written n bytes at offset.
func after(offset int64, n int) int64 {
	for first := true; first || n > 0; first = false {
		part := min(n, int(pageBytes-offset%pageBytes)-fragmentBytes)
		offset = begin(offset + int64(fragmentBytes+part))
		n -= part
	}
	return offset
}

// begin is where the next fragment can stand, from offset on.
func begin(offset int64) int64 {
	if left := pageBytes - offset%pageBytes; left < fragmentBytes {
		return offset + left
	}
	return offset
}

// read reads the record at l from the segment's file.
func (l location) read(file string) (record, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open a segment: %w", err)
	}
	defer f.Close()
	stored := make([]byte, after(l.offset, l.size)-l.offset)
	n, err := f.ReadAt(stored, l.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read a record: %w", err)
	}
	// What is too short shows below: padding at the end may not be there yet.
	return l.join(stored[:n])
}

// join puts the record together that begins in stored.
func (l location) join(stored []byte) (record, error) {
	raw := make([]byte, 0, l.size)
	offset := l.offset
	for first := true; len(raw) < l.size; first = false {
		at := int(offset - l.offset)
		if at+fragmentBytes > len(stored) {
			return nil, errDamaged
		}
		head := stored[at : at+fragmentBytes]
		length := int(binary.BigEndian.Uint16(head[1:]))
		// A first fragment is empty where just its header has room in a page.
		if at+fragmentBytes+length > len(stored) || length == 0 && !first {
			return nil, errDamaged
		}
		part := stored[at+fragmentBytes : at+fragmentBytes+length]
		raw = append(raw, part...)
		if head[0] != fragmentType(first, len(raw) >= l.size) || crc32.Checksum(part, castagnoli) != binary.BigEndian.Uint32(head[3:]) {
			return nil, errDamaged
		}
		offset = begin(offset + int64(fragmentBytes+length))
	}
	if len(raw) > l.size {
		return nil, errDamaged
	}
	r, err := parseRecord(raw)
	if err != nil {
		return nil, errDamaged
	}
	return r, nil
}

func fragmentType(first, last bool) byte {
	switch {
	case first && last:
		return fragmentFull
	case first:
		return fragmentFirst
	case last:
		return fragmentLast
	default:
		return fragmentMiddle
	}
}

// recordBegins reports whether a sound fragment begins a record behind the one at
// offset, which is damaged. Of a record that was torn nothing but middle fragments
// can stand there.
func recordBegins(file string, offset int64) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, fmt.Errorf("look behind the damage: %w", err)
	}
	defer f.Close()
	page := make([]byte, pageBytes)
	for own := true; ; own = false { // whether the page begins with the damaged record itself
		n, err := f.ReadAt(page[:pageBytes-offset%pageBytes], offset)
		if beginsIn(page[:n], own) {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look behind the damage: %w", err)
		}
		offset += int64(n)
	}
}

// beginsIn looks at the fragments of a page. It steps over a first one that is
// damaged, whose length may still be right, and over one that is the record's own.
func beginsIn(page []byte, own bool) bool {
	for first := true; len(page) >= fragmentBytes; first = false {
		end := fragmentBytes + int(binary.BigEndian.Uint16(page[1:]))
		if end > len(page) {
			return false
		}
		sound := crc32.Checksum(page[fragmentBytes:end], castagnoli) == binary.BigEndian.Uint32(page[3:])
		kind := page[0]
		switch {
		case first && own:
		case sound && (kind == fragmentFull || kind == fragmentFirst):
			return true
		case !sound && !first:
			return false
		}
		page = page[end:]
	}
	return false
}
