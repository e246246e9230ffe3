package queue

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// lines is a codec of requests that hold one item a line.
type lines struct{}

func (lines) Join(bodies [][]byte) []byte { return bytes.Join(bodies, []byte("\n")) }

func (lines) Split(body []byte) (first, second []byte, ok bool) {
	items := bytes.Split(body, []byte("\n"))
	if len(items) < 2 {
		return nil, nil, false
	}
	n := len(items) / 2
	return lines{}.Join(items[:n]), lines{}.Join(items[n:]), true
}

func withCodec(o *Options) { o.Codec = lines{} }

// refusing answers like Loki: one bad item and the whole request is refused, the
// good ones of it stored all the same.
func refusing(bad ...string) *fakeEngine {
	return &fakeEngine{answer: func(_, body string) error {
		for item := range strings.SplitSeq(body, "\n") {
			if slices.Contains(bad, item) {
				return errPermanent
			}
		}
		return nil
	}}
}

// received returns all items that a tenant's engine took.
func received(e *fakeEngine, tenant string) []string {
	var items []string
	for _, body := range e.stored(tenant) {
		items = append(items, strings.Split(body, "\n")...)
	}
	return items
}

func TestOnlyWhatIsBadBecomesADeadLetter(t *testing.T) {
	e := refusing("bad 1", "bad 2")
	q := open(t, t.TempDir(), e, withCodec)
	defer run(t, q)()
	if err := q.Append(context.Background(), "acme", Request{Body: []byte("a\nb\nbad 1\nc\nd\ne\nbad 2"), Items: 7}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, q, "acme", "after")
	eventually(t, "all is delivered", func() bool { return slices.Contains(received(e, "acme"), "after") })
	if got := received(e, "acme"); !slices.Equal(got, []string{"a", "b", "c", "d", "e", "after"}) {
		t.Errorf("received %q", got)
	}
	letters, err := q.dead.List(t.Context(), "acme")
	if err != nil || len(letters) != 2 {
		t.Fatalf("dead letters: %+v, %v", letters, err)
	}
	for i, want := range []string{"bad 1", "bad 2"} {
		l := letters[i]
		if string(l.Body) != want || l.Items != 1 || !strings.Contains(l.Reason, errPermanent.Error()) || l.ID == "" || l.Time.IsZero() {
			t.Errorf("letter %d: %+v", i, l)
		}
	}
}

func TestSmallRequestsAreJoined(t *testing.T) {
	gate := make(chan struct{})
	e := &fakeEngine{answer: func(_, body string) error {
		if body == "first" {
			<-gate
		}
		return nil
	}}
	q := open(t, t.TempDir(), e, withCodec)
	defer run(t, q)()
	mustAppend(t, q, "acme", "first")
	want := []string{"first"}
	for _, b := range bodies(2500) {
		want = append(want, b)
		mustAppend(t, q, "acme", b)
	}
	close(gate)
	eventually(t, "all is delivered", func() bool { return len(received(e, "acme")) == len(want) })
	if got := received(e, "acme"); !slices.Equal(got, want) {
		t.Errorf("received %d items in another order", len(got))
	}
	var sizes []int
	for _, body := range e.stored("acme") {
		sizes = append(sizes, strings.Count(body, "\n")+1)
	}
	if !slices.Equal(sizes, []int{1, 1000, 1000, 500}) {
		t.Errorf("requests of %v items", sizes)
	}
}

func TestFullDeadLettersHoldUpTheTenantOnly(t *testing.T) {
	e := refusing("bad")
	q := open(t, t.TempDir(), e, withCodec, func(o *Options) { o.DeadMaxBytes = 250 })
	defer run(t, q)()
	for range 3 {
		mustAppend(t, q, "acme", "bad")
	}
	mustAppend(t, q, "acme", "good")
	mustAppend(t, q, "globex", "good")
	eventually(t, "the other tenant's is delivered", func() bool { return len(e.stored("globex")) == 1 })
	eventually(t, "there is no room", func() bool {
		letters, err := q.dead.List(t.Context(), "acme")
		return err == nil && len(letters) == 1 && errors.Is(q.Bury(context.Background(), "acme", "why", request("bad")), ErrFull)
	})
	if got := e.stored("acme"); len(got) != 0 {
		t.Errorf("received %q over the head of what can't be kept", got)
	}
	for len(e.stored("acme")) == 0 {
		if _, err := q.dead.Purge(t.Context(), "acme", func(Letter) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeadLettersAreRetried(t *testing.T) {
	bad := true
	e := &fakeEngine{}
	e.answer = func(_, body string) error {
		if bad && strings.HasPrefix(body, "bad") {
			return errPermanent
		}
		return nil
	}
	dir := t.TempDir()
	q := open(t, dir, e)
	stop := run(t, q)
	for _, b := range []string{"bad 1", "bad 2", "bad 3"} {
		mustAppend(t, q, "acme", b)
	}
	commands, err := OpenDeadLetters(dir, 1<<20) // as another process has it
	if err != nil {
		t.Fatal(err)
	}
	var letters []Letter
	eventually(t, "they are dead letters", func() bool {
		letters, err = commands.List(t.Context(), "acme")
		return err == nil && len(letters) == 3
	})
	e.mu.Lock()
	bad = false
	e.mu.Unlock()
	retry := func(l Letter) bool { return l.ID == letters[1].ID }
	if n, err := commands.Retry(t.Context(), "acme", retry); n != 1 || err != nil {
		t.Fatalf("retried %d, %v", n, err)
	}
	eventually(t, "it is delivered", func() bool { return len(e.stored("acme")) == 1 })
	stop()

	// What is to be retried while no queue runs waits for the next.
	if n, err := commands.Retry(t.Context(), "acme", func(l Letter) bool { return l.ID == letters[2].ID }); n != 1 || err != nil {
		t.Fatalf("retried %d, %v", n, err)
	}
	q = open(t, dir, e)
	defer run(t, q)()
	eventually(t, "it is delivered", func() bool { return len(e.stored("acme")) == 2 })
	if got := e.stored("acme"); !slices.Equal(got, []string{"bad 2", "bad 3"}) {
		t.Errorf("received %q", got)
	}
	if n, err := commands.Purge(t.Context(), "acme", func(Letter) bool { return true }); n != 1 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if tenants, err := commands.Tenants(); len(tenants) != 0 || err != nil {
		t.Errorf("tenants with letters: %q, %v", tenants, err)
	}
}

// A process that is killed while it writes a letter leaves part of a line.
func TestTornLetterSpoilsNoOther(t *testing.T) {
	d, err := OpenDeadLetters(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return d.add(t.Context(), "acme", Letter{Reason: "one"}) },
		func() error { return d.append("acme", lettersExt, []byte(`{"id":"torn`), 0) },
		func() error { return d.add(t.Context(), "acme", Letter{Reason: "two"}) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	letters, err := d.List(t.Context(), "acme")
	if err != nil || len(letters) != 2 || letters[0].Reason != "one" || letters[1].Reason != "two" {
		t.Errorf("%+v, %v", letters, err)
	}
}
