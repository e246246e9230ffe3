package ingest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/invoscope/invoscope/relay/fault"
)

// bodies holds the buffers that requests are read into.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const (
	// keepBytes bounds the buffers that are kept for the next request.
	keepBytes = 4 << 20
	// firstBytes is the room made for a body that says how long it is; more of it
	// has to come before there is more room.
	firstBytes = 256 << 10
)

// readBody reads a request's body, decompressed as its Content-Encoding says.
// The bytes are valid until release is called.
func (in *Ingest) readBody(r *http.Request, tenant string) (body []byte, release func(), err error) {
	most := in.maxBytes(tenant)
	if r.ContentLength > most {
		return nil, nil, tooLarge(most)
	}
	src, done, err := in.decompress(r.Header.Get("Content-Encoding"), io.LimitReader(r.Body, most+1))
	if err != nil {
		return nil, nil, err
	}
	defer done()
	buf, _ := bodies.Get().(*bytes.Buffer)
	buf.Reset()
	buf.Grow(int(min(max(r.ContentLength, 0)+bytes.MinRead, firstBytes)))
	release = func() {
		if buf.Cap() <= keepBytes {
			bodies.Put(buf)
		}
	}
	n, err := buf.ReadFrom(io.LimitReader(src, most+1))
	switch {
	case n > most:
		err = tooLarge(most)
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = tooLarge(most)
	case err != nil:
		err = &fault.Error{Kind: fault.Invalid, Message: "the request's body can't be read: " + err.Error()}
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return buf.Bytes(), release, nil
}

func tooLarge(most int64) error {
	return fault.New(fault.TooLarge, fmt.Sprintf("the request is larger than %d bytes", most))
}

// decompress wraps body; done is called when no more is read. "snappy" is a no-op:
// Loki's clients set it for protobuf bodies, whose decoder decompresses.
func (in *Ingest) decompress(encoding string, body io.Reader) (_ io.Reader, done func(), err error) {
	switch encoding = strings.ToLower(encoding); encoding {
	case "", "identity", "snappy":
		return body, func() {}, nil
	case "gzip":
		return in.gzip.decode(encoding, body)
	case "deflate":
		src, err := inflate(body)
		return src, func() {}, err
	case "zstd":
		return in.zstd.decode(encoding, body)
	default:
		return nil, nil, unsupportedEncoding(encoding)
	}
}

func unsupportedEncoding(encoding string) error {
	return fault.New(fault.UnsupportedMedia, fmt.Sprintf("Content-Encoding %q is not supported (want gzip, deflate, zstd or none)", encoding))
}

// inflate decompresses what "deflate" stands for: zlib's format (RFC 1950) to HTTP and
// to OpenTelemetry's exporters, the bare one (RFC 1951) to Loki. A bare one begins like
// zlib's only by a chance of one in a thousand or so, and not as encoders write it.
func inflate(body io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(body)
	head, _ := buffered.Peek(2) // what is too short shows when it is read
	if len(head) < 2 || head[0]&0x0f != 8 || (int(head[0])<<8|int(head[1]))%31 != 0 {
		return flate.NewReader(buffered), nil
	}
	src, err := zlib.NewReader(buffered)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the request's body is not deflate: "+err.Error())
	}
	return src, nil
}

// decoder decompresses one body after another.
type decoder interface {
	io.Reader
	Reset(body io.Reader) error
}

// decoders keeps the decoders of an encoding, which take much memory to make.
type decoders struct {
	pool sync.Pool
	make func() (decoder, error)
}

func (d *decoders) decode(encoding string, body io.Reader) (io.Reader, func(), error) {
	one, ok := d.pool.Get().(decoder)
	if !ok {
		var err error
		if one, err = d.make(); err != nil {
			return nil, nil, err
		}
	}
	done := func() {
		_ = one.Reset(strings.NewReader("")) // it would keep the body; what it says of this one is of no interest
		d.pool.Put(one)
	}
	if err := one.Reset(body); err != nil {
		done()
		return nil, nil, fault.New(fault.Invalid, "the request's body is not "+encoding+": "+err.Error())
	}
	return one, done, nil
}

func newGzip() (decoder, error) { return new(gzip.Reader), nil }

// zstdWindow is the largest window that a sender may ask for, in bytes: the one
// every decoder must have (RFC 8878, section 3.1.1.1.2). Encoders ask for it
// whatever the size of what they compress.
const zstdWindow = 8 << 20

// newZstd returns what makes decoders that work in the goroutine of their caller.
// They refuse a frame that says that it is larger than a request may be; one that
// doesn't say is read no further than that.
func newZstd(maxBytes int64) func() (decoder, error) {
	return func() (decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(uint64(max(maxBytes, zstdWindow))))
	}
}
