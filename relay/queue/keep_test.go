package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// forgetful is a process that keeps what it was sent in memory, and has lives.
type forgetful struct {
	fakeEngine
	mu      sync.Mutex
	life    uint64
	stopped bool
}

func (p *forgetful) Life() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

func (p *forgetful) Running(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.life == 0 {
		return errors.New("no answer")
	}
	return nil
}

func (p *forgetful) set(life uint64, stopped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life, p.stopped = life, stopped
}

func withProcess(p Process) func(*Options) { return func(o *Options) { o.Process, o.SafeBeats = p, 5 } }

// onDisk is how many requests the next start would deliver.
func onDisk(t *testing.T, q *Queue) int {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, l := range q.lines {
		n += len(l.entries)
	}
	return n
}

func TestKeptUntilTheProcessHasOutlivedItsBound(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &forgetful{life: 1}
		q := open(t, dir, &p.fakeEngine, withProcess(p))
		defer run(t, q)()
		mustAppend(t, q, "acme", "span")
		time.Sleep(5 * beatEvery)
		synctest.Wait()
		if got, n := p.stored("acme"), onDisk(t, q); len(got) != 1 || n != 1 {
			t.Errorf("early: sent %q, %d kept", got, n)
		}
		time.Sleep(2 * beatEvery)
		synctest.Wait()
		if got, n := p.stored("acme"), onDisk(t, q); len(got) != 1 || n != 0 {
			t.Errorf("later: sent %q, %d kept", got, n)
		}
	})
}

func TestSentAgainAfterTheProcessDied(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &forgetful{life: 1}
		q := open(t, dir, &p.fakeEngine, withProcess(p))
		defer run(t, q)()
		mustAppend(t, q, "acme", "safe")
		time.Sleep(10 * beatEvery)
		mustAppend(t, q, "acme", "first")
		mustAppend(t, q, "globex", "other")
		time.Sleep(beatEvery)
		mustAppend(t, q, "acme", "second")
		synctest.Wait()
		p.set(0, false)
		time.Sleep(2 * beatEvery)
		p.set(2, false)
		time.Sleep(10 * beatEvery)
		synctest.Wait()
		// While it was dead everything was delivered again: the fake takes it all.
		want := []string{"safe", "first", "second", "first", "second"}
		if got := p.stored("acme"); !slices.Equal(got[:2], want[:2]) || count(got, "safe") != 1 || count(got, "first") < 2 || count(got, "second") < 2 || got[len(got)-1] != "second" {
			t.Errorf("acme received %q", got)
		}
		if got := p.stored("globex"); count(got, "other") < 2 {
			t.Errorf("globex received %q", got)
		}
		if n := onDisk(t, q); n != 0 {
			t.Errorf("%d requests are still kept", n)
		}
	})
}

func count(list []string, s string) (n int) {
	for _, e := range list {
		if e == s {
			n++
		}
	}
	return n
}

// A process that is stopped doesn't write to its disk while time goes by.
func TestStoppedProcessIsNotTrusted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &forgetful{life: 1}
		q := open(t, dir, &p.fakeEngine, withProcess(p))
		defer run(t, q)()
		mustAppend(t, q, "acme", "span")
		synctest.Wait()
		p.set(1, true)
		time.Sleep(time.Minute)
		if n := onDisk(t, q); n != 1 {
			t.Errorf("%d requests are kept for a stopped process", n)
		}
		p.set(2, false)
		time.Sleep(10 * beatEvery)
		synctest.Wait()
		if got := p.stored("acme"); !slices.Equal(got, []string{"span", "span"}) {
			t.Errorf("received %q", got)
		}
	})
}

// What comes right after a new life began is not delivered before what the old one
// took along, nor twice.
func TestNewLifeGetsEverythingOnceInOrder(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &forgetful{life: 1}
		q := open(t, dir, &p.fakeEngine, withProcess(p))
		defer run(t, q)()
		mustAppend(t, q, "acme", "first")
		time.Sleep(beatEvery + beatEvery/4) // between two beats
		p.set(2, false)
		mustAppend(t, q, "acme", "second")
		time.Sleep(20 * beatEvery)
		synctest.Wait()
		if got, want := p.stored("acme"), []string{"first", "first", "second"}; !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
	})
}

// A process may die between its answer and our next look at it.
func TestLifeThatEndedDuringADelivery(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &forgetful{life: 1}
		p.answer = func(string, string) error {
			if p.Life() == 1 {
				p.set(2, false)
			}
			return nil
		}
		q := open(t, dir, &p.fakeEngine, withProcess(p))
		defer run(t, q)()
		mustAppend(t, q, "acme", "span")
		time.Sleep(20 * beatEvery)
		synctest.Wait()
		if got := p.stored("acme"); !slices.Equal(got, []string{"span", "span"}) {
			t.Errorf("received %q", got)
		}
	})
}

func TestKeptIsDeliveredAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	p := &forgetful{life: 1}
	q := open(t, dir, &p.fakeEngine, withProcess(p))
	stop := run(t, q)
	mustAppend(t, q, "acme", "span")
	eventually(t, "it is delivered", func() bool { return len(p.stored("acme")) == 1 })
	stop()
	q = open(t, dir, &p.fakeEngine, withProcess(p))
	defer run(t, q)()
	eventually(t, "it is delivered again", func() bool { return len(p.stored("acme")) == 2 })
}
