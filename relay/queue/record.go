package queue

import (
	"encoding/binary"
	"errors"
	"time"
)

// recordVersion stands first in every record, so that the format can change
// while records of an older daemon wait on disk. Version 1 had neither time nor
// items.
const recordVersion = 2

// record is one request as it stands in the log. All numbers are big endian:
//
//	version          1 byte
//	sequence number  8 bytes, ascending over the whole queue
//	time             8 bytes, when it was appended, Unix time in nanoseconds
//	items            4 bytes
//	tenant           1 byte for its length, and its name
//	body             the rest
type record []byte

const (
	timeAt      = 1 + 8
	itemsAt     = timeAt + 8
	headerBytes = itemsAt + 4 + 1
	headerV1    = 1 + 8 + 1
)

var errRecord = errors.New("not a record of this queue")

// maxTenantBytes is what one length byte can say.
const maxTenantBytes = 255

func newRecord(tenant string, at time.Time, req Request) record {
	r := make(record, headerBytes, headerBytes+len(tenant)+len(req.Body))
	r[0] = recordVersion
	binary.BigEndian.PutUint64(r[timeAt:], uint64(at.UnixNano()))
	binary.BigEndian.PutUint32(r[itemsAt:], uint32(req.Items))
	r[headerBytes-1] = byte(len(tenant))
	r = append(r, tenant...)
	return append(r, req.Body...)
}

// parseRecord checks the form of raw.
func parseRecord(raw []byte) (record, error) {
	r := record(raw)
	if len(r) < 1 || r[0] != recordVersion && r[0] != 1 {
		return nil, errRecord
	}
	if n := r.header(); len(r) < n || len(r) < n+int(r[n-1]) {
		return nil, errRecord
	}
	return r, nil
}

// header is the size of what stands before the tenant's name.
func (r record) header() int {
	if r[0] == 1 {
		return headerV1
	}
	return headerBytes
}

func (r record) setSequence(n uint64) { binary.BigEndian.PutUint64(r[1:], n) }
func (r record) sequence() uint64     { return binary.BigEndian.Uint64(r[1:]) }

func (r record) time() time.Time {
	if r[0] == 1 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(r[timeAt:])))
}

func (r record) items() int {
	if r[0] == 1 {
		return 1
	}
	return int(binary.BigEndian.Uint32(r[itemsAt:]))
}

func (r record) tenant() string {
	n := r.header()
	return string(r[n : n+int(r[n-1])])
}

func (r record) body() []byte {
	n := r.header()
	return r[n+int(r[n-1]):]
}
