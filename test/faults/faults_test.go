//go:build integration

package faults

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/invoscope/invoscope/test/harness"
)

const (
	tenants = 20
	// every is the mean time between two batches of a tenant in one way: 800 lines
	// and 200 spans a second together.
	every = time.Second
	// recoveryLimit is how long senders may be refused after the last fault.
	recoveryLimit = 30 * time.Second
	// drainLimit is how long the queues may take to become empty once all is well.
	drainLimit = 3 * time.Minute
	// visibleLimit is how long what the engines took may stay invisible.
	visibleLimit = 30 * time.Second
)

// parameter is the environment variable of this name, or else a default.
func parameter[T any](t *testing.T, name string, otherwise T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}

func TestFaults(t *testing.T) {
	length := parameter(t, "FAULTTIME", 45*time.Second, time.ParseDuration)
	seed := parameter(t, "FAULTSEED", rand.Uint64()>>32, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	t.Logf("FAULTTIME=%v FAULTSEED=%d", length, seed)
	for _, variant := range []struct {
		name   string
		remote bool
		share  float64 // of the time
	}{{"embedded", false, 0.6}, {"remote", true, 0.4}} {
		t.Run(variant.name, func(t *testing.T) {
			length := time.Duration(variant.share * float64(length))
			s := newSite(t, variant.remote, length)
			s.test(length, seed)
		})
	}
}

// test sends while there are faults, and then looks for what was acknowledged.
func (s *site) test(length time.Duration, seed uint64) {
	t := s.t
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	start := time.Now().Add(-window)
	all := s.makeTenants()
	senders := makeSenders(t, all, seed)
	to := dial(t, s.current())
	stop := sendAll(t.Context(), senders, to)
	if err := s.trouble(length, seed); err != nil {
		t.Errorf("the faults ended early: %v", err)
	}
	s.awaitRecovery(senders)
	stop()
	r := sum(senders)
	for i := range all {
		for _, sender := range senders {
			if sender.tenant == all[i].name {
				all[i].accounts = append(all[i].accounts, sender.account)
			}
		}
	}
	stopped := time.Now()
	harness.Poll(t, drainLimit, "the queues are empty", func() error { return queueIsEmpty(t.Context(), s.current().Admin) })
	t.Logf("the queues are empty after %v", time.Since(stopped).Round(time.Second))
	if s.engines == nil {
		s.forget()
	}
	began := time.Now()
	for _, tn := range all {
		r.take(tn, s.lookUntil(tn, seed, start, began.Add(visibleLimit)))
	}
	t.Logf("all was looked for in %v", time.Since(began).Round(100*time.Millisecond))
	s.judge(r)
}

// trouble makes faults for some time. Afterwards all runs well again.
func (s *site) trouble(length time.Duration, seed uint64) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), length)
	defer cancel()
	lasting := make(chan error, 1)
	go func() {
		rng := rand.New(rand.NewPCG(seed, 1))
		lasting <- s.run(ctx, s.surroundings(min(12*time.Second, max(length/8, 2*minHold))), rng)
	}()
	err := s.run(ctx, s.processes(length), rand.New(rand.NewPCG(seed, 2)))
	cancel()
	return cmp.Or(err, <-lasting)
}

// awaitRecovery waits until every sender was served after the faults.
func (s *site) awaitRecovery(senders []*sender) {
	calm := time.Now()
	harness.Poll(s.t, recoveryLimit, "every sender is served again", func() error {
		for _, sender := range senders {
			if sender.served.Load() <= calm.UnixNano() {
				return fmt.Errorf("%s of %s is not", sender.way, sender.tenant)
			}
		}
		return nil
	})
	s.t.Logf("every sender is served again %v after the faults", time.Since(calm).Round(100*time.Millisecond))
}

// forget ends the engines once the queue has let go of everything. What is found
// after that they have from their disks.
func (s *site) forget() {
	harness.Poll(s.t, drainLimit, "nothing could be forgotten", func() error { return queueIsSafe(s.t, s.current().Admin) })
	s.current().Kill()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
	harness.Poll(s.t, drainLimit, "the engines are ready", func() error {
		_, err := get(s.t.Context(), s.current().Admin+"/readyz")
		return err
	})
}

// makeTenants issues a token for each tenant, dated back so that a daemon whose
// clock goes back doesn't find them not valid yet.
func (s *site) makeTenants() []*tenant {
	if err := s.stepClock(-2 * time.Hour); err != nil {
		s.t.Fatal(err)
	}
	var all []*tenant
	for i := range tenants {
		name := fmt.Sprintf("t%02d", i)
		client := s.current().ClientFor(name, "logs:read", "logs:write", "traces:read", "traces:write")
		all = append(all, &tenant{Client: client, name: name})
	}
	if err := s.stepClock(0); err != nil {
		s.t.Fatal(err)
	}
	return all
}

func makeSenders(t *testing.T, all []*tenant, seed uint64) []*sender {
	var senders []*sender
	for i, tn := range all {
		token, err := tn.Token()
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range append(logWays, traceWays...) {
			senders = append(senders, &sender{
				tenant: tn.name, number: i, token: token, way: w, retries: i%4 != 0, run: seed, every: every,
			})
		}
	}
	return senders
}

// dial prepares the connections of the senders. They come back soon after the
// daemon does; gRPC's own backoff goes to two minutes.
func dial(t *testing.T, d *harness.Daemon) target {
	conn, err := grpc.NewClient(d.OTLPGRPC, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}, MinConnectTimeout: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 4 * tenants}
	t.Cleanup(func() {
		_ = conn.Close()
		transport.CloseIdleConnections()
	})
	return target{http: d.HTTP, conn: conn, client: &http.Client{Transport: transport}}
}

// lookUntil looks for what a tenant has, again for as long as something is
// missing and the deadline is to come.
func (s *site) lookUntil(tn *tenant, run uint64, start, deadline time.Time) outcome {
	for {
		o, err := tn.look(s.t.Context(), run, start, time.Now().Add(window))
		if err != nil {
			s.t.Fatal(err)
		}
		missing := len(check(tn.accounts, o.found).missing)
		if missing == 0 || time.Now().After(deadline) {
			return o
		}
		s.logf("%d items of %s are missing so far", missing, tn.name)
		pause(s.t.Context(), time.Second)
	}
}

// judge prints what the run came to, and says what must not be.
func (s *site) judge(r *report) {
	s.t.Logf("%skills: %d\nfaults: %s\n", r, s.kills, list(s.counts))
	for what, items := range map[string][]item{
		"acknowledged items are missing": r.wrong.missing,
		"lines are there twice":          r.wrong.duplicates,
		"items were never sent":          r.wrong.unsent,
	} {
		if len(items) > 0 {
			s.t.Errorf("%d %s, such as %v", len(items), what, first(items))
		}
	}
	if len(r.foreign) > 0 {
		s.t.Errorf("%d items are with a tenant that did not send them, such as %q", len(r.foreign), first(r.foreign))
	}
	if len(r.odd) > 0 {
		s.t.Errorf("%d refusals tell the sender not to try again, such as %q", len(r.odd), first(r.odd))
	}
	if r.phantom != r.phantomAll || r.phantomAll == 0 {
		s.t.Errorf("of %d items that were never sent %d were missed: the check doesn't work", r.phantomAll, r.phantom)
	}
	if r.acknowledged["lines"] == 0 || r.acknowledged["spans"] == 0 || s.kills == 0 {
		s.t.Errorf("nothing was acknowledged, or nothing was killed")
	}
}
