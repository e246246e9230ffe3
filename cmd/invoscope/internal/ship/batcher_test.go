package ship

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sent is one delivered batch.
type sent struct {
	Lines int
	At    time.Duration // since the start
}

// record runs fill with a queue and returns the batches that came out.
func record(t *testing.T, took time.Duration, fill func(*batcher)) (got []sent) {
	synctest.Test(t, func(t *testing.T) {
		q, start := newBatcher(), time.Now()
		done := make(chan error)
		go func() {
			done <- q.run(t.Context(), func(_ context.Context, group []*batch) error {
				for _, b := range group {
					got = append(got, sent{len(b.lines), time.Since(start)})
				}
				time.Sleep(took)
				return nil
			})
		}()
		fill(q)
		q.close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if read, stored := q.counts(); read != stored {
			t.Errorf("read %d, stored %d", read, stored)
		}
	})
	return got
}

func addLines(q *batcher, n int, line string) {
	from := &source{}
	for range n {
		_ = q.add([]byte(line), time.Time{}, from) // some tests fail it on purpose
	}
}

func TestBatches(t *testing.T) {
	tests := []struct {
		name string
		took time.Duration
		fill func(*batcher)
		want []sent
	}{
		{"none", 0, func(*batcher) {}, nil},
		{"by age of the first line", 0, func(q *batcher) {
			addLines(q, 2, "a")
			time.Sleep(150 * time.Millisecond)
			addLines(q, 3, "a")
			time.Sleep(time.Second)
		}, []sent{{5, maxBatchAge}}},
		{"by lines", 0, func(q *batcher) {
			addLines(q, 2500, "a")
			time.Sleep(time.Second)
		}, []sent{{1000, 0}, {1000, 0}, {500, maxBatchAge}}},
		{"by bytes", 0, func(q *batcher) {
			addLines(q, 10, strings.Repeat("a", 200<<10))
		}, []sent{{5, 0}, {5, 0}}},
		{"by the end", 0, func(q *batcher) { addLines(q, 2, "a") }, []sent{{2, 0}}},
		{"by flush", time.Second, func(q *batcher) {
			addLines(q, 2, "a")
			if err := q.flush(); err != nil {
				t.Error(err)
			}
			addLines(q, 1, "a")
		}, []sent{{2, 0}, {1, time.Second}}},
		{"one in flight, full ones behind it", time.Second, func(q *batcher) {
			addLines(q, 1, "a")
			time.Sleep(maxBatchAge + time.Millisecond)
			addLines(q, 1500, "a")
		}, []sent{{1, maxBatchAge}, {1000, maxBatchAge + time.Second}, {500, maxBatchAge + time.Second}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, record(t, tt.took, tt.fill)); diff != "" {
				t.Errorf("batches (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailureReachesEveryoneWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, broken := newBatcher(), errors.New("broken")
		go func() {
			_ = q.run(t.Context(), func(context.Context, []*batch) error {
				time.Sleep(time.Minute)
				return broken
			})
		}()
		flushed := make(chan error)
		go func() {
			addLines(q, 10, "a")
			flushed <- q.flush()
		}()
		synctest.Wait()
		addLines(q, 20000, "b") // more than it holds
		if err := q.add([]byte("c"), time.Time{}, &source{}); !errors.Is(err, broken) {
			t.Errorf("add: %v", err)
		}
		if err := <-flushed; !errors.Is(err, broken) {
			t.Errorf("flush: %v", err)
		}
		<-q.failed
		if read, stored := q.counts(); stored != 0 || read < 1010 {
			t.Errorf("read %d, stored %d", read, stored)
		}
	})
}
