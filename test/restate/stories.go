package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	restate "github.com/restatedev/sdk-go"
)

// remindAfter is how long Order/run delays its reminder. A test that wants to see
// it waiting has that long, of which Restate takes 5 s to export the spans.
const remindAfter = 20 * time.Second

// impatient has Restate suspend an invocation that is silent for longer. A first
// connection may take a third of a second.
var impatient = restate.WithInactivityTimeout(time.Second)

// order is a workflow that lives through days in seconds: it charges a card, has a
// reminder sent later, waits to be paid and then counts.
func order() restate.ServiceDefinition {
	return restate.NewWorkflow("Order").
		Handler("run", restate.NewWorkflowHandler(runOrder, impatient)).
		Handler("pay", restate.NewWorkflowSharedHandler(payOrder))
}

func runOrder(ctx restate.WorkflowContext, item string) (string, error) {
	receipt, err := restate.Run(ctx, func(restate.RunContext) (string, error) {
		return "receipt for " + item, nil
	}, restate.WithName("charge"))
	if err != nil {
		return "", err
	}
	restate.ServiceSend(ctx, "Mailer", "remind").Send(item, restate.WithDelay(remindAfter))
	payer, err := restate.Promise[string](ctx, "paid").Result()
	if err != nil {
		return "", err
	}
	if _, err := restate.Object[int](ctx, "Counter", "orders", "add").Request(1); err != nil {
		return "", err
	}
	return payer + " paid: " + receipt, nil
}

func payOrder(ctx restate.WorkflowSharedContext, payer string) (restate.Void, error) {
	if err := restate.Promise[string](ctx, "paid").Resolve(payer); err != nil {
		return restate.Void{}, err
	}
	return restate.Void{}, nil
}

// notary waits for somebody outside.
func notary() restate.ServiceDefinition {
	return restate.NewService("Notary").Handler("sign", restate.NewServiceHandler(sign, impatient))
}

// sign prints "awakeable ID" and waits for its completion.
func sign(ctx restate.Context, document string) (string, error) {
	signature := restate.Awakeable[string](ctx)
	if err := restate.RunVoid(ctx, func(restate.RunContext) error {
		_, err := fmt.Printf("awakeable %s %s\n", document, signature.Id())
		return err
	}, restate.WithName("ask")); err != nil {
		return "", err
	}
	by, err := signature.Result()
	if err != nil {
		return "", err
	}
	return document + " signed by " + by, nil
}

// weather is a service that fails for as long as it storms: until somebody calls
// calm, which lasts until the process ends.
type weather struct{ calmed atomic.Bool }

func (w *weather) service() restate.ServiceDefinition {
	often := restate.WithInvocationRetryPolicy(
		restate.WithInitialRetryInterval(100*time.Millisecond), restate.WithRetryIntervalFactor(1.2),
		restate.WithMaxRetryInterval(400*time.Millisecond), restate.WithMaxRetryAttempts(10000),
	)
	thrice := restate.WithInvocationRetryPolicy(
		restate.WithInitialRetryInterval(50*time.Millisecond), restate.WithMaxRetryAttempts(3), restate.PauseOnMaxAttempts(),
	)
	return restate.NewService("Weather").
		Handler("sail", restate.NewServiceHandler(w.sail, often)).
		Handler("fly", restate.NewServiceHandler(w.sail, thrice)).
		Handler("calm", restate.NewServiceHandler(w.calm))
}

var errStorm = errors.New("the storm goes on")

func (w *weather) sail(_ restate.Context, _ string) (string, error) {
	if !w.calmed.Load() {
		return "", errStorm
	}
	return "arrived", nil
}

func (w *weather) calm(restate.Context, restate.Void) (restate.Void, error) {
	w.calmed.Store(true)
	return restate.Void{}, nil
}
