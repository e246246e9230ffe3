package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
	"github.com/invoscope/invoscope/relay/invocation"
)

// invocationListCmd is `invoscope invocation list`.
type invocationListCmd struct {
	apiFlags     `embed:""`
	displayFlags `embed:""`

	Since     string   `placeholder:"AGE" help:"Only those first seen within this time, such as 90m, 12h or 7d."`
	From      string   `placeholder:"TIME" help:"Only those first seen at this time or later: RFC 3339, or unix time."`
	To        string   `placeholder:"TIME" help:"Only those first seen at this time or before."`
	Target    string   `placeholder:"TARGET" help:"Only those of this target, such as Greeter/greet or Counter/key/add."`
	Outcome   []string `placeholder:"OUTCOME" help:"Only those with one of these outcomes: unknown, scheduled, running, suspended, paused, completed, succeeded, failed."`
	ErrorCode string   `placeholder:"CODE" help:"Only those whose last error has this code, such as RT0007 or 500."`
	ID        string   `name:"id" placeholder:"TEXT" help:"Only those whose id has this part."`
	Limit     int      `default:"50" help:"How many at most; 0 is all (${default})."`
	Time      string   `enum:"relative,rfc3339" default:"relative" help:"How times are shown: relative or rfc3339 (${default})."`
}

func (c *invocationListCmd) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"since": c.Since, "from": c.From, "to": c.To, "target": c.Target, "error_code": c.ErrorCode, "id": c.ID,
		"outcome": strings.Join(c.Outcome, ","),
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// Run prints a table, or a line for each.
func (c *invocationListCmd) Run(g *globals) error {
	s, err := c.connect()
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return codedError{fmt.Errorf("--limit: want 0 or more, not %d", c.Limit), exitUsage}
	}
	var found []invocation.Summary
	enc := json.NewEncoder(timeline.JSONWriter(g.stdout))
	for summary, err := range s.List(g.ctx, c.query(), c.Limit) {
		if err != nil {
			return s.explain(err, "")
		}
		if c.Output != "json" {
			found = append(found, summary)
		} else if err := enc.Encode(summary); err != nil {
			return err
		}
	}
	if c.Output == "json" {
		return nil
	}
	return timeline.WriteList(g.stdout, found, timeline.ListOptions{Style: c.style(g), Now: g.now(), Absolute: c.Time == "rfc3339"})
}
