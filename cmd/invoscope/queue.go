package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/app"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
	"github.com/invoscope/invoscope/relay/queue"
	"github.com/invoscope/invoscope/relay/signal"
)

// queueCmd is `invoscope queue`. It works on the files of a data directory,
// whether a daemon runs on it or not.
type queueCmd struct {
	Dead deadCmd `cmd:"" help:"Dead letters: what an engine refused for good after it was acknowledged."`
}

// deadCmd is `invoscope queue dead`.
type deadCmd struct {
	List  deadListCmd  `cmd:"" help:"List the dead letters."`
	Show  deadShowCmd  `cmd:"" help:"Print what dead letters hold."`
	Retry deadRetryCmd `cmd:"" help:"Deliver dead letters again: at once if the daemon runs, else after its next start."`
	Purge deadPurgeCmd `cmd:"" help:"Delete dead letters."`
}

// letterSelection says which dead letters a command is about.
type letterSelection struct {
	DataDir string `default:"./data" env:"INVOSCOPE_DATA_DIR" placeholder:"DIR" help:"The daemon's data directory (${default})."`
	Signal  string `enum:",logs,traces" default:"" placeholder:"logs|traces" help:"Only this signal's."`
	Tenant  string `placeholder:"NAME" help:"Only this tenant's."`
}

// printer prints the requests of a signal.
type printer interface {
	Print(w io.Writer, body []byte) error
}

var signals = []struct {
	name    string
	printer printer
}{{"logs", signal.Logs{}}, {"traces", signal.Traces{}}}

// box is the dead letters of one signal.
type box struct {
	signal  string
	printer printer
	letters *queue.DeadLetters
	tenants []string
}

// boxes opens the selected boxes that are there.
func (s letterSelection) boxes() ([]box, error) {
	var found []box
	queues := 0
	for _, sig := range signals {
		dir := app.QueueDir(s.DataDir, sig.name)
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		queues++
		if s.Signal != "" && s.Signal != sig.name {
			continue
		}
		letters, err := queue.OpenDeadLetters(dir, 0)
		if err != nil {
			return nil, err
		}
		tenants, err := letters.Tenants()
		if err != nil {
			return nil, err
		}
		tenants = slices.DeleteFunc(tenants, func(t string) bool { return s.Tenant != "" && t != s.Tenant })
		found = append(found, box{sig.name, sig.printer, letters, tenants})
	}
	if queues == 0 {
		return nil, fmt.Errorf("there is no queue in %s (name the daemon's data directory with --data-dir)", s.DataDir)
	}
	return found, nil
}

// each calls do with every selected letter.
func (s letterSelection) each(ctx context.Context, do func(box, string, queue.Letter) error) error {
	boxes, err := s.boxes()
	if err != nil {
		return err
	}
	for _, b := range boxes {
		for _, tenant := range b.tenants {
			letters, err := b.letters.List(ctx, tenant)
			if err != nil {
				return err
			}
			for _, l := range letters {
				if err := do(b, tenant, l); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

type deadListCmd struct {
	letterSelection `embed:""`
	outputFlag      `embed:""`
}

// listed is a letter as `list -o json` prints it.
type listed struct {
	ID     string    `json:"id"`
	Signal string    `json:"signal"`
	Tenant string    `json:"tenant"`
	Time   time.Time `json:"time"`
	Items  int       `json:"items"`
	Bytes  int       `json:"bytes"`
	Reason string    `json:"reason"`
}

// shortID is how much of an id the list shows; commands take ids cut short.
const shortID = 8

// Run prints a table.
func (c *deadListCmd) Run(g *globals) error {
	if c.json() {
		enc := json.NewEncoder(timeline.JSONWriter(g.stdout))
		return c.each(g.ctx, func(b box, tenant string, l queue.Letter) error {
			return enc.Encode(listed{l.ID, b.signal, tenant, l.Time, l.Items, len(l.Body), l.Reason})
		})
	}
	table := tabwriter.NewWriter(g.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSIGNAL\tTENANT\tTIME\tITEMS\tREASON")
	err := c.each(g.ctx, func(b box, tenant string, l queue.Letter) error {
		reason, _, _ := strings.Cut(l.Reason, "\n")
		row(table, fmt.Sprintf("%.*s", shortID, l.ID), b.signal, tenant, l.Time.UTC().Format(time.RFC3339), strconv.Itoa(l.Items), reason)
		return nil
	})
	return errors.Join(err, table.Flush())
}

// letterIDs names letters.
type letterIDs struct {
	ID  []string `arg:"" optional:"" help:"Ids as list prints them."`
	All bool     `help:"All that are selected."`
}

// matcher returns what tells whether a letter is named, and what tells which
// names were of none.
func (n letterIDs) matcher() (match func(queue.Letter) bool, missing func() error, err error) {
	if n.All == (len(n.ID) > 0) {
		return nil, nil, errors.New("name dead letters by their ids, or all of them with --all")
	}
	for _, id := range n.ID {
		if len(id) < shortID {
			return nil, nil, fmt.Errorf("%q is no id: it has at least %d characters", id, shortID)
		}
	}
	seen := make([]bool, len(n.ID))
	match = func(l queue.Letter) bool {
		for i, id := range n.ID {
			if strings.HasPrefix(l.ID, id) {
				seen[i] = true
				return true
			}
		}
		return n.All
	}
	missing = func() error {
		if i := slices.Index(seen, false); i >= 0 {
			return fmt.Errorf("there is no dead letter %s", n.ID[i])
		}
		return nil
	}
	return match, missing, nil
}

type deadShowCmd struct {
	letterSelection `embed:""`
	letterIDs       `embed:""`
}

// Run prints each letter's facts and what is in it.
func (c *deadShowCmd) Run(g *globals) error {
	match, missing, err := c.matcher()
	if err != nil {
		return err
	}
	err = c.each(g.ctx, func(b box, tenant string, l queue.Letter) error {
		if !match(l) {
			return nil
		}
		fmt.Fprintf(g.stdout, "id: %s\nsignal: %s\ntenant: %s\ntime: %s\nreason: %s\n\n", l.ID, b.signal, tenant, l.Time.UTC().Format(time.RFC3339Nano), l.Reason)
		if err := b.printer.Print(g.stdout, l.Body); err != nil {
			return err
		}
		_, err := fmt.Fprintln(g.stdout)
		return err
	})
	return errors.Join(err, missing())
}

type deadRetryCmd struct {
	letterSelection `embed:""`
	letterIDs       `embed:""`
}

// Run hands letters to the daemon.
func (c *deadRetryCmd) Run(g *globals) error {
	return c.change(g, c.letterIDs, "will be delivered again", (*queue.DeadLetters).Retry)
}

type deadPurgeCmd struct {
	letterSelection `embed:""`
	letterIDs       `embed:""`
}

// Run deletes letters.
func (c *deadPurgeCmd) Run(g *globals) error {
	return c.change(g, c.letterIDs, "deleted", (*queue.DeadLetters).Purge)
}

// change does something to the named letters and says to how many.
func (s letterSelection) change(g *globals, ids letterIDs, what string,
	do func(d *queue.DeadLetters, ctx context.Context, tenant string, match func(queue.Letter) bool) (int, error),
) error {
	match, missing, err := ids.matcher()
	if err != nil {
		return err
	}
	boxes, err := s.boxes()
	if err != nil {
		return err
	}
	n := 0
	for _, b := range boxes {
		for _, tenant := range b.tenants {
			done, err := do(b.letters, g.ctx, tenant, match)
			if n += done; err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(g.stdout, "%d dead letters %s\n", n, what)
	return missing()
}
