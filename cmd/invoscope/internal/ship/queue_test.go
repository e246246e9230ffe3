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
func record(t *testing.T, took time.Duration, fill func(*queue)) (got []sent) {
	synctest.Test(t, func(t *testing.T) {
		q, start := newQueue(), time.Now()
		done := make(chan error)
		go func() {
			done <- q.run(t.Context(), func(_ context.Context, b *batch) (int, int, error) {
				got = append(got, sent{len(b.entries), time.Since(start)})
				time.Sleep(took)
				return len(b.entries), 0, nil
			})
		}()
		fill(q)
		q.close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if c := q.counts(); c.open() != 0 {
			t.Errorf("%+v", c)
		}
	})
	return got
}

func addLines(q *queue, n int, line string) {
	from := origin{newStdin(), 1}
	for range n {
		_ = q.add([]byte(line), from) // some tests fail it on purpose
	}
}

func TestBatches(t *testing.T) {
	tests := []struct {
		name string
		took time.Duration
		fill func(*queue)
		want []sent
	}{
		{"none", 0, func(*queue) {}, nil},
		{"by age of the first line", 0, func(q *queue) {
			addLines(q, 2, "a")
			time.Sleep(150 * time.Millisecond)
			addLines(q, 3, "a")
			time.Sleep(time.Second)
		}, []sent{{5, maxBatchAge}}},
		{"by lines", 0, func(q *queue) {
			addLines(q, 2500, "a")
			time.Sleep(time.Second)
		}, []sent{{1000, 0}, {1000, 0}, {500, maxBatchAge}}},
		{"by bytes", 0, func(q *queue) {
			addLines(q, 10, strings.Repeat("a", 200<<10))
		}, []sent{{5, 0}, {5, 0}}},
		{"by the end", 0, func(q *queue) { addLines(q, 2, "a") }, []sent{{2, 0}}},
		{"by flush", time.Second, func(q *queue) {
			addLines(q, 2, "a")
			if err := q.flush(); err != nil {
				t.Error(err)
			}
			addLines(q, 1, "a")
		}, []sent{{2, 0}, {1, time.Second}}},
		{"one in flight, full ones behind it", time.Second, func(q *queue) {
			addLines(q, 1, "a")
			time.Sleep(maxBatchAge + time.Millisecond)
			addLines(q, 1500, "a")
		}, []sent{{1, maxBatchAge}, {1000, maxBatchAge + time.Second}, {500, maxBatchAge + 2*time.Second}}},
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
		q, broken := newQueue(), errors.New("broken")
		go func() {
			_ = q.run(t.Context(), func(context.Context, *batch) (int, int, error) {
				time.Sleep(time.Minute)
				return 3, 0, broken
			})
		}()
		flushed := make(chan error)
		go func() {
			addLines(q, 10, "a")
			flushed <- q.flush()
		}()
		synctest.Wait()
		addLines(q, 5000, "b") // more than the queue holds
		if err := q.add([]byte("c"), origin{newStdin(), 1}); !errors.Is(err, broken) {
			t.Errorf("add: %v", err)
		}
		if err := <-flushed; !errors.Is(err, broken) {
			t.Errorf("flush: %v", err)
		}
		<-q.failed
		if c := q.counts(); c.acked != 3 || c.dropped != 0 || c.read < 1010 {
			t.Errorf("%+v", c)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pusher{url: "http://relay", log: discard(), pause: newPause}
		start := time.Now()
		var at []time.Duration
		p.http = newClient(func() (int, string) {
			at = append(at, time.Since(start))
			if len(at) < 3 {
				return 429, "40"
			}
			return 204, ""
		})
		if err := p.push(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]time.Duration{0, 40 * time.Second, 80 * time.Second}, at); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
	})
}

func TestPausesGrowAndNeverEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pusher{url: "http://relay", log: discard(), pause: newPause}
		start := time.Now()
		tries := 0
		p.http = newClient(func() (int, string) {
			tries++
			if time.Since(start) < 24*time.Hour {
				return 503, ""
			}
			return 204, ""
		})
		if err := p.push(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		// A day of pauses of 15 s, more or less half of that.
		if tries < 24*60*60/23 || tries > 24*60*60/7 {
			t.Errorf("%d tries in a day", tries)
		}
	})
}
