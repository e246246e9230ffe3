// Command restate serves the Restate services that the end-to-end test drives.
//
// Each handler shows one thing that Restate does with an invocation, so that the
// test can tell from a target alone what logs and spans to expect:
//
//	Greeter/greet      answers
//	Greeter/nested     calls Counter/nested/add and waits for it
//	Greeter/later      sends to Mailer/deliver without waiting
//	Greeter/flaky      fails twice and then answers
//	Greeter/reject     fails for good
//	Mailer/deliver     answers
//	Mailer/remind      answers
//	Counter/<key>/add  adds to the object's state
//	Order/<key>/run    runs a step, sends to Mailer/remind with a delay, waits for a
//	                   promise (and is suspended), calls Counter/orders/add
//	Order/<key>/pay    resolves that promise
//	Notary/sign        waits for an awakeable (and is suspended), whose id it prints
//	Weather/sail       fails until Weather/calm was called, tried often
//	Weather/fly        the same, but is paused after three attempts
//	Weather/calm       ends the storm
//
// It is a module of its own so that Restate's SDK stays out of the daemon's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/server"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9080", "address to serve on; port 0 picks a free one")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "restate service:", err)
		os.Exit(1)
	}
}

// serve answers Restate until ctx ends. It prints "listening on HOST:PORT" to
// stdout once it does; the SDK logs to stderr.
func serve(ctx context.Context, address string) error {
	handler, err := server.NewRestate().
		Bind(greeter()).
		Bind(mailer()).
		Bind(counter()).
		Bind(order()).
		Bind(notary()).
		Bind(new(weather).service()).
		Handler()
	if err != nil {
		return fmt.Errorf("bind services: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())

	// Restate speaks HTTP/2 without TLS to a plain http address.
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: handler, Protocols: &protocols, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func greeter() restate.ServiceDefinition {
	flaky := failures{left: map[string]int{}}
	quick := restate.WithInvocationRetryPolicy(restate.WithInitialRetryInterval(50 * time.Millisecond))
	return restate.NewService("Greeter").
		Handler("greet", restate.NewServiceHandler(greet)).
		Handler("nested", restate.NewServiceHandler(nested)).
		Handler("later", restate.NewServiceHandler(later)).
		Handler("flaky", restate.NewServiceHandler(flaky.greet, quick)).
		Handler("reject", restate.NewServiceHandler(reject))
}

func mailer() restate.ServiceDefinition {
	return restate.NewService("Mailer").
		Handler("deliver", restate.NewServiceHandler(greet)).
		Handler("remind", restate.NewServiceHandler(greet))
}

func counter() restate.ServiceDefinition {
	return restate.NewObject("Counter").Handler("add", restate.NewObjectHandler(add))
}

func greet(_ restate.Context, name string) (string, error) {
	return "Hello, " + name, nil
}

func nested(ctx restate.Context, _ string) (int, error) {
	sum, err := restate.Object[int](ctx, "Counter", "nested", "add").Request(1)
	if err != nil {
		return 0, err
	}
	return sum, nil
}

// later answers with the id of the invocation it started.
func later(ctx restate.Context, name string) (string, error) {
	return restate.ServiceSend(ctx, "Mailer", "deliver").Send(name).GetInvocationId(), nil
}

func reject(_ restate.Context, name string) (string, error) {
	return "", restate.TerminalErrorf("nobody is called %s", name)
}

func add(ctx restate.ObjectContext, n int) (int, error) {
	sum, err := restate.Get[int](ctx, "sum")
	if err != nil {
		return 0, err
	}
	restate.Set(ctx, "sum", sum+n)
	return sum + n, nil
}

// failures counts down, per invocation, the attempts that are still to fail.
type failures struct {
	mu   sync.Mutex
	left map[string]int
}

func (f *failures) greet(ctx restate.Context, name string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := ctx.Request().ID
	if _, known := f.left[id]; !known {
		f.left[id] = 2
	}
	if f.left[id] > 0 {
		f.left[id]--
		return "", fmt.Errorf("%s is not in yet", name)
	}
	return greet(ctx, name)
}
