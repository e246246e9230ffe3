package main

import (
	"net/url"
	"slices"
	"strings"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
)

// storyFlags say what to tell.
type storyFlags struct {
	apiFlags     `embed:""`
	displayFlags `embed:""`

	ID        string `arg:"" help:"The invocation's id, or how it begins."`
	Relatives bool   `help:"With the invocations that called it and those that it called or sent."`
	Level     string `enum:"trace,debug,info,warn,error" default:"debug" help:"The lowest level of log lines that are shown: trace, debug, info, warn or error (${default})."`
	All       bool   `help:"Each attempt, also of many that failed alike."`
	Raw       bool   `help:"Log lines as they were written."`
}

func (f *storyFlags) options(g *globals) timeline.Options {
	style := f.style(g)
	style.Raw = f.Raw
	return timeline.Options{Style: style, Now: g.now(), Level: strings.ToUpper(f.Level), All: f.All}
}

func (f *storyFlags) query() url.Values {
	q := url.Values{}
	if f.Relatives {
		q.Set("relatives", "callers,callees")
	}
	return q
}

// invocationTimelineCmd is `invoscope invocation timeline`.
type invocationTimelineCmd struct {
	storyFlags `embed:""`
}

// Run tells the story.
func (c *invocationTimelineCmd) Run(g *globals) error {
	s, err := c.connect()
	if err != nil {
		return err
	}
	id, err := s.resolve(g.ctx, c.ID)
	if err != nil {
		return s.explain(err, c.ID)
	}
	if c.Output == "json" {
		return c.copy(g, s, id, c.query())
	}
	told, err := c.told(g, s, id)
	if err != nil {
		return err
	}
	return timeline.Write(g.stdout, told, c.options(g))
}

// copy prints what the API answers.
func (f *storyFlags) copy(g *globals, s session, id string, query url.Values) error {
	out := timeline.JSONWriter(g.stdout)
	for item, err := range s.Timeline(g.ctx, id, query) {
		if err != nil {
			return s.explain(err, id)
		}
		if item.End != nil && item.End.Next != "" {
			continue // of a page that isn't the last
		}
		if _, err := out.Write(append(slices.Clip(item.Raw), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// told asks for all there is of an invocation.
func (f *storyFlags) told(g *globals, s session, id string) (timeline.Told, error) {
	facts, err := s.Get(g.ctx, id)
	if err != nil {
		return timeline.Told{}, s.explain(err, id)
	}
	told := timeline.Told{Invocation: facts}
	for item, err := range s.Timeline(g.ctx, id, f.query()) {
		if err != nil {
			return told, s.explain(err, id)
		}
		if item.Event != nil {
			told.Events = append(told.Events, item.Event)
		} else {
			told.Gaps = append(told.Gaps, item.End.Gaps...)
		}
	}
	return told, nil
}
