package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/client"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
	"github.com/invoscope/invoscope/relay/invocation"
)

// invocationFollowCmd is `invoscope invocation follow`.
type invocationFollowCmd struct {
	storyFlags `embed:""`
}

// Run tells the story until the invocation ends.
func (c *invocationFollowCmd) Run(g *globals) error {
	err := c.follow(g)
	if err != nil && g.ctx.Err() != nil {
		return codedError{errors.New("interrupted"), exitInterrupted}
	}
	return err
}

func (c *invocationFollowCmd) follow(g *globals) error {
	s, err := c.connect()
	if err != nil {
		return err
	}
	id, err := s.resolve(g.ctx, c.ID)
	if err != nil {
		return s.explain(err, c.ID)
	}
	query := c.query()
	query.Set("follow", "true")
	if c.Output == "json" {
		return c.copy(g, s, id, query)
	}
	told, err := c.told(g, s, id)
	if err != nil {
		return err
	}
	live, err := timeline.NewLive(g.stdout, told, c.options(g))
	if err != nil {
		return err
	}
	return c.stream(g, s, live, query)
}

// maxRetries is how often in a row a stream is opened again that broke off.
const maxRetries = 10

// stream prints what comes until the invocation ends. A stream that breaks off, as
// with a server that is started again, is opened again: what it tells twice is
// printed once.
func (c *invocationFollowCmd) stream(g *globals, s session, live *timeline.Live, query url.Values) error {
	wait := backoff.NewExponentialBackOff()
	for failures := 0; ; {
		err := error(nil)
		for item, broken := range s.Timeline(g.ctx, live.ID(), query) {
			if err = broken; err != nil {
				break
			}
			if item.End != nil {
				return c.finish(g.ctx, s, live, item.End)
			}
			if err := live.Add(item.Event); err != nil {
				return err
			}
			failures = 0
			wait.Reset()
		}
		if g.ctx.Err() != nil {
			return g.ctx.Err()
		}
		var refused *client.StatusError
		if failures++; errors.As(err, &refused) && refused.Status < http.StatusInternalServerError || failures > maxRetries {
			return s.explain(err, live.ID())
		}
		fmt.Fprintf(g.stderr, "invoscope: %s; trying again\n", timeline.Clean(err.Error()))
		select {
		case <-g.ctx.Done():
			return g.ctx.Err()
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// finish tells how it ended.
func (c *invocationFollowCmd) finish(ctx context.Context, s session, live *timeline.Live, end *invocation.End) error {
	facts, err := s.Get(ctx, live.ID())
	if err != nil {
		return s.explain(err, live.ID())
	}
	return live.End(facts, end.Gaps)
}
