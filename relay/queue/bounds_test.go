package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func stalling(tenants ...string) *fakeEngine {
	return &fakeEngine{answer: func(tenant, _ string) error {
		if slices.Contains(tenants, tenant) {
			return errTransient
		}
		return nil
	}}
}

func TestTenantsBytesAreBounded(t *testing.T) {
	e := stalling("stalled")
	q := open(t, t.TempDir(), e, func(o *Options) { o.TenantMaxBytes = 1000 })
	defer run(t, q)()
	mustAppend(t, q, "stalled", strings.Repeat("x", 900))
	if err := q.Append(context.Background(), "stalled", request(strings.Repeat("x", 100))); !errors.Is(err, ErrFull) {
		t.Errorf("over the tenant's bound: %v", err)
	}
	if s := q.Status(); s.Bytes < 900 || s.Full != nil {
		t.Errorf("a queue with a little room: %+v", s)
	}
	for range 10 {
		eventually(t, "there is room", func() bool {
			return q.Append(context.Background(), "acme", request(strings.Repeat("x", 900))) == nil
		})
	}
}

func TestWaitingIsBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e := stalling("stalled")
		q := open(t, dir, e, func(o *Options) { o.MaxAge = time.Hour })
		stop := run(t, q)
		mustAppend(t, q, "stalled", "first")
		time.Sleep(59 * time.Minute)
		mustAppend(t, q, "stalled", "second")
		time.Sleep(2 * time.Minute)
		if err := q.Append(context.Background(), "stalled", request("third")); !errors.Is(err, ErrFull) {
			t.Errorf("behind one that waits too long: %v", err)
		}
		if s := q.Status(); s.Oldest != 61*time.Minute || !errors.Is(s.Full, ErrFull) {
			t.Errorf("a queue with one that waits too long: %+v", s)
		}
		mustAppend(t, q, "acme", "goes")
		stop()

		e = &fakeEngine{}
		q = open(t, dir, e, func(o *Options) { o.MaxAge = time.Hour })
		if err := q.reserve("stalled", 1); !errors.Is(err, ErrFull) {
			t.Errorf("after a restart: %v", err)
		}
		defer run(t, q)()
		time.Sleep(time.Second)
		mustAppend(t, q, "stalled", "third")
		time.Sleep(time.Second)
		if got := e.stored("stalled"); !slices.Equal(got, []string{"first", "second", "third"}) {
			t.Errorf("received %q", got)
		}
	})
}

// A tenant that isn't delivered must not keep everybody's delivered requests on
// disk, nor lose its own.
func TestStalledTenantDoesNotKeepTheLog(t *testing.T) {
	dir := t.TempDir()
	e := stalling("stalled")
	q := open(t, dir, e)
	q.log.rotate = 1 << 20
	stop := run(t, q)
	big := strings.Repeat("x", 512<<10)
	var want []string
	for i := range 40 {
		body := fmt.Sprint("waits ", i)
		want = append(want, body)
		mustAppend(t, q, "stalled", body)
		mustAppend(t, q, "acme", big)
		eventually(t, "it is delivered", func() bool { return len(e.stored("acme")) == i+1 })
	}
	if size, most := q.log.size(), (spareSegments+2)*q.log.rotate; size > most {
		t.Errorf("the log takes %d bytes, more than %d", size, most)
	}
	if oldest, _ := q.log.oldestSegment(); oldest == 0 {
		t.Error("the first segment is still there")
	}
	stop()

	e = &fakeEngine{}
	q = open(t, dir, e)
	defer run(t, q)()
	eventually(t, "all is delivered", func() bool { return len(e.stored("stalled")) >= len(want) })
	if got := e.stored("stalled"); !slices.Equal(got, want) {
		t.Errorf("received %q", got)
	}
}

// What waits beyond some megabytes is not in memory.
func TestBacklogIsReadFromDisk(t *testing.T) {
	gate := make(chan struct{})
	e := &fakeEngine{answer: func(string, string) error {
		select {
		case <-gate:
			return nil
		default:
			return errTransient
		}
	}}
	q := open(t, t.TempDir(), e)
	defer run(t, q)()
	var want []string
	for i := range 60 {
		want = append(want, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 1<<20)))
		mustAppend(t, q, "acme", want[i])
	}
	q.mu.Lock()
	if q.inMemory > memoryBytes {
		t.Errorf("%d bytes are in memory", q.inMemory)
	}
	q.mu.Unlock()
	close(gate)
	eventually(t, "all is delivered", func() bool { return len(e.stored("acme")) == len(want) })
	if got := e.stored("acme"); !slices.Equal(got, want) {
		t.Error("something else was received, or in another order")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inMemory != 0 || q.bytes != 0 {
		t.Errorf("%d bytes in memory, %d in all, with nothing waiting", q.inMemory, q.bytes)
	}
}

// Tenants that wait to try again don't take the places of those that could go.
func TestManyStalledTenantsHoldUpNobody(t *testing.T) {
	var stalled []string
	for i := range 2 * maxDeliveries {
		stalled = append(stalled, fmt.Sprint("stalled-", i))
	}
	e := stalling(stalled...)
	q := open(t, t.TempDir(), e)
	defer run(t, q)()
	for _, tenant := range stalled {
		mustAppend(t, q, tenant, "waits")
	}
	mustAppend(t, q, "acme", "goes")
	eventually(t, "the other tenant's is delivered", func() bool { return len(e.stored("acme")) == 1 })
}

func TestFsyncChoicesStoreAlike(t *testing.T) {
	for _, choice := range []Fsync{FsyncBatch, FsyncAlways, FsyncNever} {
		t.Run(string(choice), func(t *testing.T) {
			dir := t.TempDir()
			away := &fakeEngine{answer: func(string, string) error { return errTransient }}
			q := open(t, dir, away, func(o *Options) { o.Fsync = choice })
			stop := run(t, q)
			want := bodies(20)
			for _, b := range want {
				mustAppend(t, q, "acme", b)
			}
			stop()
			e := &fakeEngine{}
			defer run(t, open(t, dir, e))()
			eventually(t, "all is delivered", func() bool { return len(e.stored("acme")) == len(want) })
			if got := e.stored("acme"); !slices.Equal(got, want) {
				t.Errorf("received %q", got)
			}
		})
	}
}
