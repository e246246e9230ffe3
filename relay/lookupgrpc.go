package relay

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net/http"

	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/internal/wire"
	"github.com/invoscope/invoscope/tenancy"
)

const (
	// frameHead is the length of what precedes a gRPC message: whether it is
	// compressed, and its length.
	frameHead = 5
	// maxSearch bounds a search that is looked at, in bytes, both as it came and
	// decompressed. One for an invocation takes a hundred.
	maxSearch = 16 << 10
)

// The fields of tempopb.SearchRequest that are read or changed.
const (
	fieldTags  = 1
	fieldStart = 5
	fieldEnd   = 6
	fieldQuery = 8
)

// tempoStreamingSearch is tempoSearch for the gRPC method.
func tempoStreamingSearch(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		b := r.boundsOf(readsFrom(req.Context()))
		if r.opts.Index == nil && !b.any() {
			return r.tempo(w, req, id)
		}
		read, message := readMessage(req.Body, req.Header.Get("Grpc-Encoding"))
		asked, ok := searchFromMessage(message)
		narrow := search{}
		if ok {
			narrow, ok = r.lookUp(w, req, b, asked)
		}
		if err := b.grpcSearch(message, narrow, ok); err != nil {
			return err
		}
		if ok {
			read = frame(narrow.message(message))
		}
		req = req.Clone(req.Context())
		req.Body = &prefixed{Reader: io.MultiReader(bytes.NewReader(read), req.Body), Closer: req.Body}
		req.ContentLength = -1
		return r.tempo(w, req, id)
	}
}

// prefixed is a body of which some was read.
type prefixed struct {
	io.Reader
	io.Closer
}

// readMessage reads the first message of a gRPC body. It returns the bytes that it
// read and the message, which is nil if it is too large, is cut off or can't be
// decompressed. An error of the body comes again to who reads on.
func readMessage(body io.Reader, encoding string) (read, message []byte) {
	read = make([]byte, frameHead)
	n, err := io.ReadFull(body, read)
	if err != nil {
		return read[:n], nil
	}
	length := binary.BigEndian.Uint32(read[1:])
	if length > maxSearch {
		return read, nil
	}
	read = append(read, make([]byte, length)...)
	n, err = io.ReadFull(body, read[frameHead:])
	if err != nil {
		return read[:frameHead+n], nil
	}
	switch read[0] {
	case 0:
		return read, read[frameHead:]
	case 1:
		return read, decompressed(read[frameHead:], encoding)
	}
	return read, nil
}

// decompressed returns nil for what can't be decompressed, or is too large.
func decompressed(compressed []byte, name string) []byte {
	compressor := encoding.GetCompressor(name)
	if compressor == nil {
		return nil
	}
	reader, err := compressor.Decompress(bytes.NewReader(compressed))
	if err != nil {
		return nil
	}
	if closer, ok := reader.(io.Closer); ok {
		defer closer.Close()
	}
	message, err := io.ReadAll(io.LimitReader(reader, maxSearch+1))
	if err != nil || len(message) > maxSearch {
		return nil
	}
	return message
}

// frame is a body with an uncompressed message, which may be sent whatever the
// call's encoding is.
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// searchFromMessage reads a tempopb.SearchRequest. Of a field that comes twice the
// last counts. It isn't ok when Tempo would have something to say about it.
func searchFromMessage(message []byte) (s search, ok bool) {
	f := wire.Fields{Body: message}
	for ok = true; ok && f.Next(); {
		switch f.Number {
		case fieldTags:
			ok = false
		case fieldStart:
			s.start, ok = secondsOf(&f)
		case fieldEnd:
			s.end, ok = secondsOf(&f)
		case fieldQuery:
			s.query, ok = string(f.Content), f.Is(fieldQuery)
		}
	}
	return s, ok && !f.Broken
}

// message is a tempopb.SearchRequest that is another one but for what was narrowed.
func (s search) message(asked []byte) []byte {
	var m []byte
	f := wire.Fields{Body: asked}
	for f.Next() {
		if f.Number != fieldQuery && f.Number != fieldStart && f.Number != fieldEnd {
			m = append(m, asked[f.Start:f.Pos]...)
		}
	}
	m = protowire.AppendVarint(protowire.AppendTag(m, fieldStart, protowire.VarintType), uint64(s.start))
	m = protowire.AppendVarint(protowire.AppendTag(m, fieldEnd, protowire.VarintType), uint64(s.end))
	return protowire.AppendString(protowire.AppendTag(m, fieldQuery, protowire.BytesType), s.query)
}

// secondsOf reads a field as a time that Tempo takes, of 31 bits.
func secondsOf(f *wire.Fields) (uint32, bool) {
	return uint32(f.Value), f.Kind == protowire.VarintType && f.Value <= math.MaxInt32
}
