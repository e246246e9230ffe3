package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errPermanent = errors.New("bad request")
	errTransient = errors.New("away")
)

// fakeEngine records what it was sent, by tenant.
type fakeEngine struct {
	mu     sync.Mutex
	got    map[string][]string
	answer func(tenant, body string) error // nil means stored
}

func (e *fakeEngine) send(ctx context.Context, tenant string, body []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.answer != nil {
		if err := e.answer(tenant, string(body)); err != nil {
			return err
		}
	}
	if e.got == nil {
		e.got = map[string][]string{}
	}
	e.got[tenant] = append(e.got[tenant], string(body))
	return nil
}

func (e *fakeEngine) stored(tenant string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got[tenant])
}

// open opens a queue in dir; change sets what a test is about.
func open(t testing.TB, dir string, e *fakeEngine, change ...func(*Options)) *Queue {
	t.Helper()
	o := Options{
		Dir: dir, MaxBytes: 1 << 30, DeadMaxBytes: 1 << 20, Send: e.send,
		Verdict:    func(err error) Verdict { return Verdict{Permanent: errors.Is(err, errPermanent)} },
		Log:        slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(),
	}
	for _, c := range change {
		c(&o)
	}
	q, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func maxBytes(n int64) func(*Options) { return func(o *Options) { o.MaxBytes = n } }

// run runs q until the returned function is called, which waits for its end.
func run(t testing.TB, q *Queue) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func request(body string) Request { return Request{Body: []byte(body), Items: 1} }

func mustAppend(t testing.TB, q *Queue, tenant, body string) {
	t.Helper()
	if err := q.Append(context.Background(), tenant, request(body)); err != nil {
		t.Fatalf("append: %v", err)
	}
}

// eventually waits until ok, which a change in another goroutine makes true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited too long until %s", what)
		}
	}
}

func bodies(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("request %03d", i)
	}
	return all
}

func TestDeliversInOrderByTenant(t *testing.T) {
	e := &fakeEngine{}
	q := open(t, t.TempDir(), e)
	defer run(t, q)()
	want := bodies(100)
	for _, b := range want {
		mustAppend(t, q, "acme", b)
		mustAppend(t, q, "globex", b)
	}
	for _, tenant := range []string{"acme", "globex"} {
		eventually(t, "all is delivered", func() bool { return len(e.stored(tenant)) == len(want) })
		if got := e.stored(tenant); !slices.Equal(got, want) {
			t.Errorf("%s received %q", tenant, got)
		}
	}
}

func TestConcurrentAppendsAreAllDelivered(t *testing.T) {
	e := &fakeEngine{}
	q := open(t, t.TempDir(), e)
	defer run(t, q)()
	want := bodies(200)
	var senders sync.WaitGroup
	for _, b := range want {
		senders.Go(func() {
			if err := q.Append(context.Background(), "acme", request(b)); err != nil {
				t.Errorf("append: %v", err)
			}
		})
	}
	senders.Wait()
	eventually(t, "all is delivered", func() bool { return len(e.stored("acme")) == len(want) })
	got := e.stored("acme")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("received %q", got)
	}
}

func TestUndeliveredSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	away := &fakeEngine{answer: func(string, string) error { return errTransient }}
	q := open(t, dir, away)
	stop := run(t, q)
	want := bodies(20)
	for _, b := range want {
		mustAppend(t, q, "acme", b)
	}
	stop()

	e := &fakeEngine{}
	q = open(t, dir, e)
	stop = run(t, q)
	mustAppend(t, q, "acme", "after")
	eventually(t, "all is delivered", func() bool { return len(e.stored("acme")) == len(want)+1 })
	stop()
	if got := e.stored("acme"); !slices.Equal(got, append(want, "after")) {
		t.Errorf("received %q", got)
	}

	again := &fakeEngine{}
	q = open(t, dir, again)
	stop = run(t, q)
	mustAppend(t, q, "acme", "last")
	eventually(t, "the last is delivered", func() bool { return len(again.stored("acme")) > 0 })
	stop()
	if got := again.stored("acme"); !slices.Equal(got, []string{"last"}) {
		t.Errorf("delivered again after a clean stop: %q", got)
	}
}

// A process that was killed leaves no checkpoint: what it acknowledged is
// delivered again rather than lost.
func TestAcknowledgedSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	e := &fakeEngine{}
	q := open(t, dir, e)
	stop := run(t, q)
	want := bodies(10)
	for _, b := range want {
		mustAppend(t, q, "acme", b)
	}
	copied := filepath.Join(t.TempDir(), "copy") // what a kill at this moment leaves
	if err := os.CopyFS(filepath.Join(copied, "log"), os.DirFS(filepath.Join(dir, "log"))); err != nil {
		t.Fatal(err)
	}
	stop()

	after := &fakeEngine{}
	q = open(t, copied, after)
	defer run(t, q)()
	eventually(t, "all is delivered", func() bool { return len(after.stored("acme")) == len(want) })
	if got := after.stored("acme"); !slices.Equal(got, want) {
		t.Errorf("received %q", got)
	}
}

func TestUnusableCheckpointMeansDeliveryAgain(t *testing.T) {
	for _, content := range []string{"", "{", "null"} {
		dir := t.TempDir()
		q := open(t, dir, &fakeEngine{answer: func(string, string) error { return errTransient }})
		stop := run(t, q)
		mustAppend(t, q, "acme", "x")
		stop()
		if err := os.WriteFile(filepath.Join(dir, "checkpoint.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		e := &fakeEngine{}
		stop = run(t, open(t, dir, e))
		eventually(t, "it is delivered", func() bool { return len(e.stored("acme")) == 1 })
		stop()
	}
}

func TestRequestThatCouldNeverFit(t *testing.T) {
	q := open(t, t.TempDir(), &fakeEngine{}, maxBytes(100))
	defer run(t, q)()
	if err := q.Append(context.Background(), "acme", Request{Body: make([]byte, 100)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	gate := make(chan struct{})
	e := &fakeEngine{answer: func(string, string) error {
		select {
		case <-gate:
			return nil
		default:
			return errTransient
		}
	}}
	q := open(t, t.TempDir(), e, maxBytes(100))
	defer run(t, q)()
	mustAppend(t, q, "acme", "fits in with its header")
	err := q.Append(context.Background(), "globex", Request{Body: make([]byte, 70)})
	if !errors.Is(err, ErrFull) {
		t.Fatalf("appending to a full queue: %v", err)
	}
	close(gate)
	eventually(t, "there is room again", func() bool {
		return q.Append(context.Background(), "globex", Request{Body: make([]byte, 70)}) == nil
	})
}

func TestRefusedRequestDoesNotHoldUpTheNext(t *testing.T) {
	e := &fakeEngine{answer: func(_, body string) error {
		if body == "poison" {
			return errPermanent
		}
		return nil
	}}
	q := open(t, t.TempDir(), e)
	defer run(t, q)()
	mustAppend(t, q, "acme", "poison")
	mustAppend(t, q, "acme", "good")
	eventually(t, "the good one is delivered", func() bool { return len(e.stored("acme")) == 1 })
}

func TestStalledTenantDoesNotHoldUpOthers(t *testing.T) {
	e := &fakeEngine{answer: func(tenant, _ string) error {
		if tenant == "stalled" {
			return errTransient
		}
		return nil
	}}
	q := open(t, t.TempDir(), e)
	defer run(t, q)()
	mustAppend(t, q, "stalled", "waits")
	mustAppend(t, q, "acme", "goes")
	eventually(t, "the other tenant's is delivered", func() bool { return len(e.stored("acme")) == 1 })
}

func TestRetryAfterIsHonoured(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var attempts []time.Time
		e := &fakeEngine{answer: func(string, string) error {
			attempts = append(attempts, time.Now())
			if len(attempts) == 1 {
				return errTransient
			}
			return nil
		}}
		q := open(t, dir, e, func(o *Options) {
			o.Verdict = func(error) Verdict { return Verdict{RetryAfter: time.Minute} }
		})
		defer run(t, q)()
		mustAppend(t, q, "acme", "x")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(attempts) != 2 || attempts[1].Sub(attempts[0]) < time.Minute {
			t.Errorf("attempts at %v", attempts)
		}
	})
}

func TestAppendAfterTheEnd(t *testing.T) {
	q := open(t, t.TempDir(), &fakeEngine{})
	run(t, q)()
	if err := q.Append(context.Background(), "acme", request("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a closed queue: %v", err)
	}
}

func TestDeliveredSegmentsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	e := &fakeEngine{}
	q := open(t, dir, e)
	stop := run(t, q)
	big := string(make([]byte, rotateBytes/2))
	for range 5 {
		mustAppend(t, q, "acme", big)
	}
	eventually(t, "all is delivered", func() bool { return len(e.stored("acme")) == 5 })
	eventually(t, "only the active segment is left", func() bool {
		files, err := os.ReadDir(filepath.Join(dir, "log"))
		return err == nil && len(files) == 1
	})
	stop()
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(newRecord("acme", time.Unix(1, 2), Request{Body: []byte("body"), Items: 3})))
	f.Add([]byte{recordVersion})
	f.Add([]byte("\x01........\x04acmebody"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseRecord(raw)
		if err != nil {
			return
		}
		again := newRecord(r.tenant(), r.time(), Request{Body: r.body(), Items: r.items()})
		again.setSequence(r.sequence())
		if _, err := parseRecord(again); err != nil || r[0] == recordVersion && !bytes.Equal(again, r) {
			t.Errorf("%q doesn't survive", raw)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			e := &fakeEngine{answer: func(string, string) error { return errPermanent }} // keeps nothing
			q := open(b, b.TempDir(), e)
			defer run(b, q)()
			body := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := q.Append(context.Background(), "acme", Request{Body: body, Items: 1}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
