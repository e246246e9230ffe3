package main

import (
	"encoding/json"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
)

// invocationShowCmd is `invoscope invocation show`.
type invocationShowCmd struct {
	apiFlags     `embed:""`
	displayFlags `embed:""`

	ID string `arg:"" help:"The invocation's id, or how it begins."`
}

// Run prints the facts.
func (c *invocationShowCmd) Run(g *globals) error {
	s, err := c.connect()
	if err != nil {
		return err
	}
	id, err := s.resolve(g.ctx, c.ID)
	if err != nil {
		return s.explain(err, c.ID)
	}
	found, err := s.Get(g.ctx, id)
	if err != nil {
		return s.explain(err, id)
	}
	if c.Output == "json" {
		return json.NewEncoder(timeline.JSONWriter(g.stdout)).Encode(found)
	}
	return timeline.WriteFacts(g.stdout, &found, timeline.Options{Style: c.style(g), Now: g.now()})
}
