package ingest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/invoscope/invoscope/relay/fault"
)

// bodies holds the buffers that requests are read into.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keepBytes bounds the buffers that are kept for the next request.
const keepBytes = 4 << 20

// readBody reads a request's body, decompressed as its Content-Encoding says.
// The bytes are valid until release is called.
func (in *Ingest) readBody(r *http.Request) (body []byte, release func(), err error) {
	if r.ContentLength > in.opts.MaxBytes {
		return nil, nil, in.tooLarge()
	}
	src, closeSrc, err := decompress(r.Header.Get("Content-Encoding"), io.LimitReader(r.Body, in.opts.MaxBytes+1), in.opts.MaxBytes)
	if err != nil {
		return nil, nil, err
	}
	defer closeSrc()
	buf, _ := bodies.Get().(*bytes.Buffer)
	buf.Reset()
	release = func() {
		if buf.Cap() <= keepBytes {
			bodies.Put(buf)
		}
	}
	n, err := io.Copy(buf, io.LimitReader(src, in.opts.MaxBytes+1))
	switch {
	case n > in.opts.MaxBytes:
		err = in.tooLarge()
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = in.tooLarge()
	case err != nil:
		err = &fault.Error{Kind: fault.Invalid, Message: "the request's body can't be read: " + err.Error()}
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return buf.Bytes(), release, nil
}

func (in *Ingest) tooLarge() error {
	return fault.New(fault.TooLarge, fmt.Sprintf("the request is larger than %d bytes", in.opts.MaxBytes))
}

// decompress wraps body. "snappy" is a no-op: Loki's clients set it for protobuf
// bodies, whose decoder decompresses.
func decompress(encoding string, body io.Reader, maxBytes int64) (io.Reader, func(), error) {
	nothing := func() {}
	switch encoding {
	case "", "identity", "snappy":
		return body, nothing, nil
	case "gzip":
		zr, err := gzip.NewReader(body)
		if err != nil {
			return nil, nil, fault.New(fault.Invalid, "the request's body is not gzip: "+err.Error())
		}
		return zr, nothing, nil
	case "deflate":
		return flate.NewReader(body), nothing, nil
	case "zstd":
		zr, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(maxBytes)))
		if err != nil {
			return nil, nil, fault.New(fault.Invalid, "the request's body is not zstd: "+err.Error())
		}
		return zr, zr.Close, nil
	default:
		return nil, nil, fault.New(fault.UnsupportedMedia, fmt.Sprintf("Content-Encoding %q is not supported (want gzip, deflate, zstd or none)", encoding))
	}
}
