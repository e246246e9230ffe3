// Command invoscope takes in the logs and traces of Restate clusters and serves
// them as a Loki and a Tempo behind one bearer token.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/tenancy/redact"
)

// version is set by the linker.
var version = "dev"

type cli struct {
	Serve      serveCmd         `cmd:"" help:"Run the daemon."`
	Ship       shipCmd          `cmd:"" help:"Send log lines from files, the journal or standard input to Invoscope."`
	Invocation invocationCmd    `cmd:"" help:"Look at invocations: list them, show one, tell its story."`
	Token      tokenCmd         `cmd:"" help:"Issue, inspect, list and revoke tokens."`
	Key        keyCmd           `cmd:"" help:"Look after the key that signs tokens."`
	Index      indexCmd         `cmd:"" help:"Look after the invocation index."`
	Queue      queueCmd         `cmd:"" help:"Look after what waits for the engines."`
	Grafana    grafanaCmd       `cmd:"" help:"Set up Grafana."`
	Config     configCmd        `cmd:"" help:"Check or print the configuration."`
	Version    kong.VersionFlag `help:"Print the version."`
}

// globals is what every subcommand gets.
type globals struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
	now            func() time.Time
}

func main() {
	// An engine's guard on systems without a parent-death signal.
	if len(os.Args) > 1 && os.Args[1] == engine.GuardArg {
		os.Exit(engine.Guard(os.Args[2:]))
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// exitUsage is the exit code for arguments that make no sense.
const exitUsage = 2

// run is main without the process, but for --help and --version, which end it.
// It returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)

	parser, err := kong.New(&cli{},
		kong.Name("invoscope"),
		kong.Description("Every Restate invocation's logs and trace, on one bearer-authed port."),
		kong.Vars{"version": version},
		kong.Writers(stdout, stderr),
	)
	if err != nil {
		panic(err) // the commands' own tags are wrong
	}
	cmd, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintf(redact.Writer(stderr), "invoscope: %v (see invoscope --help)\n", err)
		return exitUsage
	}
	g := &globals{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, log: newLogger(config.Log{}, stderr), now: clock()}
	if err := cmd.Run(g); err != nil {
		_, _ = fmt.Fprintf(redact.Writer(stderr), "invoscope: %v\n", err)
		var coded kong.ExitCoder
		if errors.As(err, &coded) {
			return coded.ExitCode()
		}
		return 1
	}
	return 0
}
