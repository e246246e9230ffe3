package keyset

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const keysURL = "https://id.example.com/keys"

// provider is a fake one, in the place of a client's transport.
type provider struct {
	mu     sync.Mutex
	answer func(*http.Request) (*http.Response, error)
	urls   []string
}

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	answer := p.answer
	p.urls = append(p.urls, r.URL.String())
	p.mu.Unlock()
	return answer(r)
}

func (p *provider) set(answer func(*http.Request) (*http.Response, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// serves makes it answer with this body.
func (p *provider) serves(body string) { p.set(answers(http.StatusOK, body)) }

// requests is how many there were.
func (p *provider) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.urls)
}

func answers(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
	}
}

func down(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

// hangs answers only when the request is given up.
func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// slow begins to answer and never ends.
func slow(r *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	context.AfterFunc(r.Context(), func() { w.CloseWithError(r.Context().Err()) })
	return &http.Response{StatusCode: http.StatusOK, Body: body, Header: http.Header{}, Request: r}, nil
}

// watched is a set of a fake provider, in a bubble.
type watched struct {
	*Set
	*provider
	log  *lines
	stop func()
}

// watch opens a set that asks p and runs it until the test ends.
func watch(t *testing.T, p *provider, o Options) *watched {
	t.Helper()
	if o.JWKSURL == "" && !o.Discovery {
		o.JWKSURL = keysURL
	}
	o, log := logged(o)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.client.Transport = p
	return run(t, &watched{Set: s, provider: p, log: log})
}

func run(t *testing.T, w *watched) *watched {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	synctest.Wait()
	return w
}

// bubble runs f with a fake clock.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t) })
}

// took returns how long f takes.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
