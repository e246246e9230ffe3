package relay

import (
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

const (
	// zstdWindow is the largest window that a sender may ask for, in bytes: the
	// one every decoder must have (RFC 8878, section 3.1.1.1.2). The format would
	// let a message of a few bytes ask for gigabytes.
	zstdWindow = 8 << 20
	// zstdMemory bounds what a frame may say it holds, in bytes. gRPC's own limit
	// on messages is usually lower and stops frames that don't say.
	zstdMemory = 64 << 20
	// zstdAnswerWindow is enough for answers, which are small.
	zstdAnswerWindow = 128 << 10
)

// gRPC keeps its compressors in a map without a lock: they are registered before
// anything runs, or never.
//
//nolint:gochecknoinits // gRPC asks for it
func init() { encoding.RegisterCompressor(&zstdCompressor{}) }

// zstdCompressor is gRPC's "zstd". Its encoders and decoders work in the
// goroutine of their caller and hold nothing but memory.
type zstdCompressor struct{ encoders, decoders sync.Pool }

// Name is the value of grpc-encoding.
func (*zstdCompressor) Name() string { return "zstd" }

// Compress returns a writer that compresses to w until it is closed.
func (c *zstdCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	if e, ok := c.encoders.Get().(*zstd.Encoder); ok {
		e.Reset(w)
		return &zstdWriter{Encoder: e, pool: &c.encoders}, nil
	}
	e, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(zstdAnswerWindow))
	if err != nil {
		return nil, err
	}
	return &zstdWriter{Encoder: e, pool: &c.encoders}, nil
}

// Decompress returns a reader of what r holds; gRPC closes it.
func (c *zstdCompressor) Decompress(r io.Reader) (io.Reader, error) {
	if d, ok := c.decoders.Get().(*zstd.Decoder); ok {
		if err := d.Reset(r); err != nil {
			return nil, err
		}
		return &zstdReader{decoder: d, pool: &c.decoders}, nil
	}
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(zstdMemory))
	if err != nil {
		return nil, err
	}
	return &zstdReader{decoder: d, pool: &c.decoders}, nil
}

type zstdWriter struct {
	*zstd.Encoder
	pool *sync.Pool
}

func (w *zstdWriter) Close() error {
	err := w.Encoder.Close()
	w.Reset(nil) // it would keep what it wrote to
	w.pool.Put(w.Encoder)
	return err
}

type zstdReader struct {
	decoder *zstd.Decoder
	pool    *sync.Pool
}

func (r *zstdReader) Read(p []byte) (int, error) { return r.decoder.Read(p) }

// Close gives the decoder back.
func (r *zstdReader) Close() error {
	if err := r.decoder.Reset(nil); err != nil { // it would keep what it read from
		return err
	}
	r.pool.Put(r.decoder)
	return nil
}
