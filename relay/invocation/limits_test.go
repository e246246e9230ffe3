package invocation

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/fault"
)

// More followers of a tenant than may be are refused, until one leaves. Those of
// another tenant don't count.
func TestFollowersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, id := newFollowFixture(t), invocationID(3)
		f.happen(t, id, "invocation-start x", 0)
		all := []*following{}
		for range maxFollowers {
			all = append(all, f.followed(t, id))
		}
		synctest.Wait()
		if err := <-f.followed(t, id).done; fault.Of(err).Kind != fault.Full || fault.Of(err).RetryAfter == 0 {
			t.Errorf("one too many: %v", err)
		}
		if done, err := f.limits.following("globex"); err != nil {
			t.Errorf("of another tenant: %v", err)
		} else {
			done()
		}
		all[0].cancel()
		<-all[0].done
		all[0] = f.followed(t, id)
		after(2 * time.Second)
		for _, c := range all {
			expectTold(t, c, []string{"invocation-start x"}, false)
			c.cancel()
			<-c.done
		}
	})
}

// A tenant's timelines wait for each other, and not for those of another tenant.
func TestTellingsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, id := newFollowFixture(t), invocationID(3)
		f.happen(t, id, "invocation-start x", 0)
		answer, release := f.tempo.answer, make(chan struct{})
		asked := make(chan struct{}, 2*maxTellings)
		f.API.opts.Tempo = &engineFunc{roundTrip: func(r *http.Request) (*http.Response, error) {
			asked <- struct{}{}
			<-release
			return (&fakeEngine{answer: answer}).RoundTrip(r)
		}}
		done := make(chan int, maxTellings+1)
		for range maxTellings + 1 {
			go func() { done <- f.get(t, acme, base+"/"+id.String()+"/timeline").StatusCode }()
		}
		synctest.Wait()
		if n := len(asked); n != maxTellings {
			t.Errorf("%d are read at once", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		r.SetPathValue("id", id.String())
		if err := f.Timeline(httptest.NewRecorder(), r, acme); fault.Of(err).Kind != fault.Unavailable {
			t.Errorf("one that doesn't wait: %v", err)
		}
		if done, err := f.limits.telling(t.Context(), "globex"); err != nil {
			t.Error(err)
		} else {
			done()
		}
		close(release)
		for range maxTellings + 1 {
			if status := <-done; status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		}
	})
}

// engineFunc is an engine that is asked in many goroutines.
type engineFunc struct {
	engine.Engine
	roundTrip func(*http.Request) (*http.Response, error)
}

func (e *engineFunc) RoundTrip(r *http.Request) (*http.Response, error) { return e.roundTrip(r) }

// A client that stops reading doesn't hold what was read for it.
func TestAClientThatDoesNotRead(t *testing.T) {
	w, id := newWorld(), invocationID(7)
	w.now = time.Unix(1_700_000_000, 0)
	text := strings.Repeat("x", 10<<10)
	for i := range 2000 { // more than the sockets hold
		w.log(`{tenant="acme"}`, w.now.Add(time.Duration(i)), fmt.Sprintf("%d %s %s", i, id, text), nil)
	}
	f := newFixture(t, map[string]*world{acme: w})
	f.stall = 50 * time.Millisecond
	for _, accept := range []string{ndjson, "application/json"} {
		done := make(chan error, 1)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.SetPathValue("id", id.String())
			done <- f.Timeline(w, r, acme)
		}))
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "GET /?limit=5000 HTTP/1.1\r\nHost: x\r\nAccept: %s\r\n\r\n", accept); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", accept, err)
		}
		_ = conn.Close()
		server.Close()
	}
}
