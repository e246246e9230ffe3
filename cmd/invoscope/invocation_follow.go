package main

import (
	"context"
	"errors"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/client"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
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
	// The stream begins with what was told already.
	for item, err := range s.Timeline(g.ctx, id, query) {
		if err != nil {
			return s.explain(err, id)
		}
		if item.End != nil {
			return c.finish(g.ctx, s, live, item)
		}
		if err := live.Add(item.Event); err != nil {
			return err
		}
	}
	return nil
}

// finish tells how it ended.
func (c *invocationFollowCmd) finish(ctx context.Context, s session, live *timeline.Live, item client.Item) error {
	facts, err := s.Get(ctx, live.ID())
	if err != nil {
		return s.explain(err, live.ID())
	}
	return live.End(facts, item.End.Gaps)
}
