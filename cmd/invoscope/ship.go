package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/ship"
)

// shipCmd reads log lines from standard input, files or the journal and pushes
// them.
type shipCmd struct {
	URL        string            `help:"Address of Invoscope. Default: that of the daemon that uses the data directory, or http://127.0.0.1:3100." placeholder:"URL" env:"INVOSCOPE_URL"`
	TokenFile  string            `help:"File with a token that has the scope logs:write. Default: the daemon's own, unless --url names another." placeholder:"FILE" env:"INVOSCOPE_TOKEN_FILE"`
	Label      map[string]string `help:"Stream label, may be repeated. kubernetes_container_name=restate is always there unless given or found otherwise." placeholder:"NAME=VALUE" mapsep:"none"`
	File       []string          `help:"File or glob pattern to follow, or - for standard input (the default). May be repeated." placeholder:"PATH|-" sep:"none"`
	Path       []string          `arg:"" optional:"" help:"Further files, as a shell makes of --file *.log."`
	Format     string            `help:"How lines are wrapped: raw (not at all), docker (json-file), cri (Kubernetes), journald (journalctl -o json), or auto, which looks at each line." enum:"auto,raw,docker,cri,journald" default:"auto" env:"INVOSCOPE_SHIP_FORMAT"`
	Multiline  bool              `help:"Join the lines of a record, such as those of a stack trace, in one entry. Default: yes." negatable:"" default:"true" env:"INVOSCOPE_SHIP_MULTILINE"`
	Wait       time.Duration     `name:"multiline-wait" help:"How long a record waits for its next line; 0 joins no lines. Default: 500ms." default:"500ms" placeholder:"DURATION" env:"INVOSCOPE_SHIP_MULTILINE_WAIT"`
	Journald   bool              `help:"Follow the journal, with journalctl."`
	Unit       []string          `help:"Follow the journal of this systemd unit. May be repeated." placeholder:"NAME"`
	JournalDir string            `name:"journal-directory" help:"Follow the journal files in this directory instead of the system's." placeholder:"DIR"`
	DataDir    string            `help:"The daemon's data directory." default:"./data" placeholder:"DIR" env:"INVOSCOPE_DATA_DIR"`
	StateDir   string            `help:"Where lines wait for Invoscope, and where is remembered how far files were read. Use one for each destination. Default: ship in the data directory." placeholder:"DIR" env:"INVOSCOPE_SHIP_STATE_DIR"`
	Buffer     config.Bytes      `help:"How much may wait on disk while Invoscope can't be reached." default:"1GiB" placeholder:"SIZE" env:"INVOSCOPE_SHIP_BUFFER"`
	tlsFlags   `embed:""`
	StartAt    string `help:"Where the very first start with a state directory begins in files and in the journal: beginning or end." enum:"beginning,end" default:"beginning"`
}

// Help is shown by invoscope ship --help.
func (*shipCmd) Help() string {
	return `Standard input is shipped to its end; ship then ends with 0 if every line was acknowledged.
Files and the journal are followed until ship is stopped, files through rotation, and the next start resumes where it stopped. Let a pattern match rotated files too (restate.log*): then nothing is missed if a file is rotated while ship isn't running or its buffer is full.
Lines are sent as they are; one longer than 256 KiB is sent as several entries. What Docker, Kubernetes or journald wrapped them in is taken off, and becomes labels. The lines of a record are joined in one entry of at most 256 KiB. An entry's time is the one in its line, or else that of the wrapping, or else that of the line before.
Pipe a journal with: journalctl -o json --all -f | invoscope ship`
}

// Run ships. Its error is nil only if every line that was read is acknowledged.
func (c *shipCmd) Run(g *globals) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	o.Stdin, o.Log = g.stdin, g.log
	if isTerminal(g.stderr) {
		o.Progress = g.stderr
	}
	if _, err := ship.Run(g.ctx, o); err != nil {
		return fmt.Errorf("ship: %w", err)
	}
	return nil
}

func (c *shipCmd) options() (ship.Options, error) {
	o := ship.Options{
		URL:       c.URL,
		TokenFile: c.TokenFile,
		Labels:    c.Label,
		Files:     slices.Concat(c.File, c.Path),
		Format:    ship.Format(c.Format),
		StateDir:  c.StateDir,
		Buffer:    int64(c.Buffer),
		FromEnd:   c.StartAt == "end",
	}
	switch {
	case c.Wait < 0:
		return o, fmt.Errorf("ship: --multiline-wait %v is negative", c.Wait)
	case c.Multiline:
		o.MultilineWait = c.Wait
	}
	if slices.Contains(o.Files, "-") {
		if len(o.Files) > 1 {
			return o, errors.New("ship: standard input (-) ends and files don't: ship them apart")
		}
		o.Files = nil
	}
	if c.Journald || len(c.Unit) > 0 || c.JournalDir != "" {
		if len(c.File)+len(c.Path) > 0 {
			return o, errors.New("ship: the journal resumes by itself and files do: ship them apart, each with its own --state-dir")
		}
		o.Journal = &ship.Journal{Units: c.Unit, Directory: c.JournalDir}
	}
	if o.StateDir == "" {
		o.StateDir = filepath.Join(c.DataDir, "ship")
		o.StateShared = o.Journal == nil && len(o.Files) == 0
	}
	return o, c.findDaemon(&o)
}

// findDaemon fills in the address and the token that weren't given. The
// daemon's token goes to the daemon only.
func (c *shipCmd) findDaemon(o *ship.Options) error {
	if o.URL != "" && (o.TokenFile != "" || c.CertFile != "") {
		o.Trust = c.trust(o.URL, runinfo.Info{})
		return nil
	}
	info, err := runinfo.Read(c.DataDir)
	defer func() { o.Trust = c.trust(o.URL, info) }()
	if errors.Is(err, fs.ErrNotExist) {
		info.HTTP, info.TokenFile = ship.DefaultURL, filepath.Join(c.DataDir, "token")
	} else if err != nil {
		return fmt.Errorf("ship: %w", err)
	}
	if o.URL == "" {
		o.URL = info.HTTP
	}
	if o.TokenFile == "" && o.URL == info.HTTP {
		o.TokenFile, o.TokenOptional = info.TokenFile, true
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
