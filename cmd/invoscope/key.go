package main

import (
	"errors"
	"fmt"
	"io/fs"
	"text/tabwriter"
	"time"

	"github.com/invoscope/invoscope/tenancy/store"
)

// keyCmd is `invoscope key`. Its commands work on the files of a data directory,
// whether a daemon runs on it or not.
type keyCmd struct {
	Generate keyGenerateCmd `cmd:"" help:"Make the key that signs tokens, where there is none."`
	Rotate   keyRotateCmd   `cmd:"" help:"Make a new key, and accept for a while what the old one has signed."`
	List     keyListCmd     `cmd:"" help:"List the keys."`
}

type keyGenerateCmd struct {
	DataDir string `default:"./data" env:"INVOSCOPE_DATA_DIR" placeholder:"DIR" help:"Directory of the daemon's data, made when it isn't there (${default})."`
}

// Run never replaces a key.
func (c *keyGenerateCmd) Run(g *globals) error {
	key, err := store.Open(c.DataDir, g.now).GenerateKey()
	if errors.Is(err, store.ErrKeyExists) {
		return fmt.Errorf("%w (to replace it: invoscope key rotate)", err)
	} else if err != nil {
		return err
	}
	_, err = fmt.Fprintf(g.stdout, "made the signing key %s\n", key.Public().ID)
	return err
}

type keyRotateCmd struct {
	storeFlags `embed:""`
	Keep       *span  `xor:"keep" placeholder:"DURATION" help:"How long tokens of the old key are accepted, such as 30d; 0 ends them now. Default: 90d, the life of tokens."`
	KeepUntil  moment `xor:"keep" placeholder:"TIME" help:"Until when they are accepted: a date such as 2026-12-31, or a time such as 2026-12-31T12:00:00Z."`
}

// Help is shown by invoscope key rotate --help.
func (*keyRotateCmd) Help() string {
	return `Opaque tokens have no key and stay as they are. If the old key is known to somebody else, --keep 0 ends the tokens that they may have made.`
}

// Run says which key signs now, and until when the old one's tokens are accepted.
func (c *keyRotateCmd) Run(g *globals) error {
	now := g.now()
	until := now.Add(90 * day)
	if c.Keep != nil {
		until = now.Add(time.Duration(*c.Keep))
	} else if c.KeepUntil.set {
		until = c.KeepUntil.after(now)
	}
	if until.Before(now) {
		return codedError{errors.New("--keep: that is past; 0 ends the old key's tokens now"), exitUsage}
	}
	s, err := c.open(g)
	if err != nil {
		return err
	}
	next, old, err := s.RotateKey(until)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (to make the first: invoscope key generate)", err)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(g.stdout, "signing key: %s\nretired key: %s, ", next.Public().ID, old.ID)
	if !old.Until.After(now) {
		_, err = fmt.Fprintln(g.stdout, "its tokens are no longer accepted")
	} else {
		_, err = fmt.Fprintln(g.stdout, "its tokens are accepted until "+stamp(old.Until, now))
	}
	return err
}

type keyListCmd struct {
	storeFlags `embed:""`
	outputFlag `embed:""`
}

// listedKey is a key as `key list -o json` prints it.
type listedKey struct {
	ID      string         `json:"kid"`
	State   store.KeyState `json:"state"`
	Created time.Time      `json:"created,omitzero"`
	Until   time.Time      `json:"until,omitzero"`
}

// Run prints a table, or a line for each.
func (c *keyListCmd) Run(g *globals) error {
	s, err := c.open(g)
	if err != nil {
		return err
	}
	keys, err := s.Keys()
	if err != nil {
		return err
	}
	if c.json() {
		list := make([]listedKey, len(keys))
		for i, k := range keys {
			list[i] = listedKey(k)
		}
		return writeLines(g.stdout, list...)
	}
	table := tabwriter.NewWriter(g.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tSTATE\tMADE\tACCEPTED UNTIL")
	for _, k := range keys {
		row(table, k.ID, string(k.State), stamp(k.Created, g.now()), stamp(k.Until, g.now()))
	}
	return table.Flush()
}
