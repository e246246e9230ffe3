package ingest

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/pdata/plog"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/internal/wire"
)

// otlpScratch is what reading OTLP log records needs beside the batch's own.
type otlpScratch struct {
	labelNames map[string]string // by attribute name; "" when it can't be one
	printed    []byte            // values that aren't strings, as text
	index      []label           // of the resource: stream labels
	shared     []label           // of the resource and the scope: structured metadata
	key        []byte
	previous   int64 // time of the scope's last record
	dated      bool  // whether that goes back to a time that a sender has given
}

// keepNames bounds the attribute names that needn't be translated again, and
// keepNameBytes each of them.
const (
	keepNames     = 4096
	keepNameBytes = 256
)

func (s *otlpScratch) reset() {
	if len(s.labelNames) > keepNames {
		s.labelNames = nil
	}
	clear(s.index[:cap(s.index)])
	clear(s.shared[:cap(s.shared)])
	s.index, s.shared, s.printed = s.index[:0], s.shared[:0], s.printed[:0]
}

// labelName is an attribute's name as a Prometheus label name, or "" when it can't
// be one or is too long: each leaf of a map repeats the names of all above it.
func (s *otlpScratch) labelName(attribute string) string {
	if len(attribute) > maxLabelNameBytes {
		return ""
	}
	if name, ok := s.labelNames[attribute]; ok {
		return name
	}
	if s.labelNames == nil {
		s.labelNames = map[string]string{}
	}
	attribute = strings.Clone(attribute) // outlives the request
	namer := otlptranslator.LabelNamer{}
	name, err := namer.Build(attribute)
	if err != nil {
		name = ""
	}
	if len(s.labelNames) <= keepNames && len(attribute) <= keepNameBytes {
		s.labelNames[attribute] = name
	}
	return name
}

// value is an AnyValue, not decoded.
type value struct {
	number  int32 // of the field that it consists of; 0 when it is empty
	kind    protowire.Type
	bits    uint64
	content []byte
}

// The fields of AnyValue, and the last of them.
const (
	valueString = 1
	valueBool   = 2
	valueInt    = 3
	valueMap    = 6
	valueLast   = 8
)

// read makes v the value that body encodes. Several of them count as one, whose
// last field counts, as protobuf merges messages.
func (v *value) read(body []byte) {
	f := wire.Fields{Body: body}
	for f.Next() {
		if f.Number <= valueLast {
			*v = value{f.Number, f.Kind, f.Value, f.Content}
		}
	}
}

// readPair returns the key and the value of a KeyValue.
func readPair(body []byte) (key []byte, v value) {
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Is(1):
			key = f.Content
		case f.Is(2):
			v.read(f.Content)
		}
	}
	return key, v
}

// text is a value as pdata's AsString prints it.
func (s *otlpScratch) text(v *value) (string, error) {
	start := len(s.printed)
	switch v.number {
	case 0:
		return "", nil
	case valueString:
		return wire.Text(v.content), nil
	case valueBool:
		s.printed = strconv.AppendBool(s.printed, v.bits != 0)
	case valueInt:
		s.printed = strconv.AppendInt(s.printed, int64(v.bits), 10) // two's complement
	default:
		return v.print()
	}
	// Should it have to move, what was printed before stays where it is.
	return wire.Text(s.printed[start:]), nil
}

// print leaves the rarer values to pdata: as the body of the only record of a
// request.
func (v *value) print() (string, error) {
	var b []byte
	switch v.kind {
	case protowire.BytesType:
		b = appendField(nil, v.number, v.content)
	case protowire.Fixed64Type:
		b = binary.LittleEndian.AppendUint64(appendTag(nil, v.number, v.kind), v.bits)
	default:
		b = appendVarint(nil, v.number, v.bits)
	}
	for _, number := range []int32{recordBody, fieldMembers, fieldMembers, 1} {
		b = appendField(nil, number, b)
	}
	logs, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(b)
	if err != nil {
		return "", errNotOTLP
	}
	return logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().AsString(), nil
}

// flatten appends an attribute as labels: its name as a Prometheus label name, a
// map as one label for each leaf, joined by underscores. It returns false when a
// name can't be one.
func (s *otlpScratch) flatten(meta []label, prefix string, pair []byte) ([]label, bool, error) {
	key, v := readPair(pair)
	return s.flattenValue(meta, prefix, wire.Text(key), &v)
}

func (s *otlpScratch) flattenValue(meta []label, prefix, name string, v *value) (_ []label, ok bool, err error) {
	if prefix != "" {
		name = prefix + "_" + name
	}
	if name = s.labelName(name); name == "" {
		return meta, false, nil
	}
	if len(meta) > maxMetadata {
		return meta, true, nil // too many already: whoever counts them refuses them
	}
	if v.number != valueMap {
		printed, err := s.text(v)
		return append(meta, label{name, printed}), true, err
	}
	f := wire.Fields{Body: v.content}
	for f.Next() {
		if !f.Is(1) {
			continue
		}
		if meta, ok, err = s.flatten(meta, name, f.Content); err != nil || !ok {
			return meta, ok, err
		}
	}
	return meta, true, nil
}
