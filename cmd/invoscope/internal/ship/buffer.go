package ship

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/invoscope/invoscope/relay/queue"
)

const (
	// DefaultBuffer is how much waits on disk for the relay, in bytes.
	DefaultBuffer = 1 << 30
	// minBuffer has room for the largest batch.
	minBuffer = 8 << 20
	// bufferOrder is the one tenant of the queue below the buffer: a tenant's
	// requests are delivered in order.
	bufferOrder = "ship"
	// storeAgain is how often storing is tried again when the disk refuses it, and
	// maxWaitForRoom how long is waited for a delivery to make room.
	storeAgain = 250 * time.Millisecond
)

// buffer keeps batches on disk until the relay has them, in order, through
// restarts of ship.
type buffer struct {
	queue    *queue.Queue
	pusher   *pusher
	log      *slog.Logger
	maxBytes int64
	session  uint64        // tells batches of this process from those that waited before
	room     chan struct{} // capacity 1: something was delivered

	failed  chan struct{} // closed with err set
	drained chan struct{} // closed when all that was stored before drain is settled

	// Of the record being delivered; send's own.
	sent    int   // requests
	dropped int64 // lines

	mu     sync.Mutex
	err    error
	count  counts
	bytes  int64 // stored by this process and not settled, as on disk
	full   bool  // and said so
	outage outage
}

// counts is what became of the lines that this process stored.
type counts struct {
	stored, acked, dropped int64
	ackedBytes             int64 // of text
	earlier                int64 // acknowledged lines that an earlier process stored
}

// waiting is how many lines are in the buffer.
func (c counts) waiting() int64 { return c.stored - c.acked - c.dropped }

// openBuffer opens the buffer in a state directory.
func openBuffer(dir string, maxBytes int64, p *pusher, log *slog.Logger) (*buffer, error) {
	b := &buffer{
		pusher:   p,
		log:      log,
		maxBytes: maxBytes,
		session:  rand.Uint64(),
		room:     make(chan struct{}, 1),
		failed:   make(chan struct{}),
		drained:  make(chan struct{}),
	}
	var err error
	b.queue, err = queue.Open(queue.Options{
		Dir:        filepath.Join(dir, "buffer"),
		MaxBytes:   maxBytes,
		Send:       b.send,
		Verdict:    verdict,
		Log:        slog.New(withoutDeliveries{log.Handler()}),
		Registerer: prometheus.NewRegistry(), // nobody asks ship for metrics
	})
	if err != nil {
		return nil, fmt.Errorf("open the buffer: %w", err)
	}
	return b, nil
}

// store encodes batches and returns once they are on disk. It waits while the
// buffer is full.
func (b *buffer) store(ctx context.Context, group []*batch) error {
	h := header{session: b.session}
	var requests [][]byte
	for _, lines := range group {
		packed, err := lines.encode()
		if err != nil {
			return err
		}
		requests = append(requests, packed)
		h.lines += uint64(len(lines.lines))
		h.bytes += uint64(len(lines.text))
	}
	if err := b.append(ctx, h.record(requests), int(h.lines)); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count.stored += int64(h.lines)
	return nil
}

func (b *buffer) append(ctx context.Context, record []byte, lines int) error {
	b.grow(len(record))
	for {
		// Not ctx: there is always time for a try, which is prompt.
		err := b.queue.Append(context.WithoutCancel(ctx), bufferOrder, queue.Request{Body: record, Items: lines})
		switch {
		case err == nil:
			b.mu.Lock()
			defer b.mu.Unlock()
			b.roomy()
			return nil
		case errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrTooLarge):
			b.grow(-len(record))
			return fmt.Errorf("buffer lines: %w", err)
		case ctx.Err() != nil:
			b.grow(-len(record))
			return context.Cause(ctx)
		}
		b.cramped(err)
		timer := time.NewTimer(storeAgain)
		select {
		case <-b.room:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (b *buffer) grow(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += int64(n)
}

// cramped says once that reading has to wait.
func (b *buffer) cramped(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full {
		return
	}
	b.full = true
	if errors.Is(err, queue.ErrFull) {
		b.log.Warn("the buffer is full, reading waits for the relay (see --buffer)", "bytes", b.maxBytes)
		return
	}
	b.log.Error("cannot write to the buffer, reading waits", "error", err)
}

// roomy says once that reading goes on. After a full buffer that is only when
// half of it is empty, so that nothing is said for each batch while the relay is
// slower than what is read.
func (b *buffer) roomy() {
	if b.full && b.bytes < b.maxBytes/2 {
		b.full = false
		b.log.Info("the buffer has room again")
	}
}

// drain waits until the relay has everything that was stored. It gives up when
// ctx ends or delivering has failed.
func (b *buffer) drain(ctx context.Context) {
	h := header{session: b.session} // in order behind all that was stored
	if b.append(ctx, h.record(nil), 0) != nil {
		return
	}
	select {
	case <-b.drained:
	case <-b.failed:
	case <-ctx.Done():
	}
}

// send delivers a record of the queue, which brings it again until all of its
// requests are delivered.
func (b *buffer) send(ctx context.Context, _ string, record []byte) error {
	select {
	case <-b.failed:
		return b.err
	default:
	}
	h, requests, err := parseRecord(record)
	if err != nil {
		b.log.Error("lines in the buffer can't be read, and are lost", "error", err)
		return nil
	}
	if h.lines == 0 {
		if h.session == b.session {
			close(b.drained)
		}
		return nil
	}
	for ; b.sent < len(requests); b.sent++ {
		dropped, err := b.pusher.deliver(ctx, requests[b.sent])
		if err != nil {
			b.lost(ctx, err)
			return err
		}
		b.found()
		b.dropped += int64(dropped)
	}
	b.settle(h, b.dropped, len(record))
	b.sent, b.dropped = 0, 0
	select {
	case b.room <- struct{}{}:
	default:
	}
	return nil
}

// lost takes note of a delivery that failed.
func (b *buffer) lost(ctx context.Context, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, passes := passing(err)
	switch {
	case !passes:
		b.err = err
		close(b.failed)
	case !errors.Is(context.Cause(ctx), context.Canceled): // that is the end of ship
		if b.outage.begins(time.Now()) {
			b.log.Warn("cannot reach "+b.pusher.url+", will keep trying; lines wait in the buffer", "error", err)
		}
	}
}

// found takes note of a delivery that succeeded.
func (b *buffer) found() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if after, over := b.outage.ends(time.Now()); over {
		b.log.Info("delivering again to "+b.pusher.url, "after", after.Round(time.Second/10), "waiting", b.count.waiting())
	}
}

// settle takes note that nothing more happens to a record's lines.
func (b *buffer) settle(h header, dropped int64, size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.session != b.session {
		b.count.earlier += int64(h.lines) - dropped
		return
	}
	b.count.acked += int64(h.lines) - dropped
	b.count.ackedBytes += int64(h.bytes)
	b.count.dropped += dropped
	b.bytes -= int64(size)
	b.roomy()
}

func (b *buffer) counts() counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// failure is why delivering was given up, or nil.
func (b *buffer) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// run delivers until ctx ends.
func (b *buffer) run(ctx context.Context) error {
	if err := b.queue.Run(ctx); err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	return nil
}

// verdict has everything tried again: what the relay refuses is settled by
// deliver.
func verdict(err error) queue.Verdict {
	after, _ := passing(err)
	return queue.Verdict{RetryAfter: after}
}

// header stands before the requests of a record. Behind it, each request has its
// length before it.
type header struct {
	session uint64
	lines   uint64 // 0 marks an end, see drain
	bytes   uint64 // of text
}

// recordVersion stands first, so that the form can change while lines wait.
const recordVersion = 1

var errRecord = errors.New("not a record of ship's buffer")

func (h header) record(requests [][]byte) []byte {
	size := 1 + 8 + (2+len(requests))*binary.MaxVarintLen64
	for _, packed := range requests {
		size += len(packed)
	}
	r := append(make([]byte, 0, size), recordVersion)
	r = binary.BigEndian.AppendUint64(r, h.session)
	r = binary.AppendUvarint(r, h.lines)
	r = binary.AppendUvarint(r, h.bytes)
	for _, packed := range requests {
		r = binary.AppendUvarint(r, uint64(len(packed)))
		r = append(r, packed...)
	}
	return r
}

func parseRecord(r []byte) (h header, requests [][]byte, err error) {
	if len(r) < 1+8 || r[0] != recordVersion {
		return h, nil, errRecord
	}
	h.session = binary.BigEndian.Uint64(r[1:])
	r = r[1+8:]
	next := func() (n uint64) {
		n, size := binary.Uvarint(r)
		if size <= 0 {
			err = errRecord
			return 0
		}
		r = r[size:]
		return n
	}
	h.lines, h.bytes = next(), next()
	for err == nil && len(r) > 0 {
		n := next()
		if err != nil || n > uint64(len(r)) {
			return h, nil, errRecord
		}
		requests, r = append(requests, r[:n]), r[n:]
	}
	return h, requests, err
}

// withoutDeliveries keeps back what the queue says about a tenant's deliveries:
// ship tells of the relay itself, once.
type withoutDeliveries struct{ slog.Handler }

func (h withoutDeliveries) Handle(ctx context.Context, r slog.Record) error {
	about := false
	r.Attrs(func(a slog.Attr) bool {
		about = a.Key == "tenant"
		return !about
	})
	if about && r.Level < slog.LevelError {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h withoutDeliveries) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withoutDeliveries{h.Handler.WithAttrs(attrs)}
}

func (h withoutDeliveries) WithGroup(name string) slog.Handler {
	return withoutDeliveries{h.Handler.WithGroup(name)}
}
