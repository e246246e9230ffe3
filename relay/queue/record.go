package queue

import (
	"encoding/binary"
	"errors"
)

// recordVersion stands first in every record, so that the format can change
// while records of an older daemon wait on disk.
const recordVersion = 1

// record is one request as it stands in the log:
// version (1 byte), sequence number (8 bytes, big endian), length of the tenant
// (1 byte), tenant, body.
type record struct {
	raw     []byte
	segment int // the log's segment it stands in
}

const headerBytes = 1 + 8 + 1

var errRecord = errors.New("not a record of this queue")

// maxTenantBytes is what one length byte can say.
const maxTenantBytes = 255

func newRecord(tenant string, body []byte) record {
	raw := make([]byte, headerBytes, headerBytes+len(tenant)+len(body))
	raw[0] = recordVersion
	raw[9] = byte(len(tenant))
	raw = append(raw, tenant...)
	raw = append(raw, body...)
	return record{raw: raw}
}

// parseRecord keeps raw.
func parseRecord(raw []byte) (record, error) {
	if len(raw) < headerBytes || raw[0] != recordVersion || len(raw) < headerBytes+int(raw[9]) {
		return record{}, errRecord
	}
	return record{raw: raw}, nil
}

func (r record) setSequence(n uint64) { binary.BigEndian.PutUint64(r.raw[1:9], n) }
func (r record) sequence() uint64     { return binary.BigEndian.Uint64(r.raw[1:9]) }
func (r record) tenant() string       { return string(r.raw[headerBytes : headerBytes+int(r.raw[9])]) }
func (r record) body() []byte         { return r.raw[headerBytes+int(r.raw[9]):] }
