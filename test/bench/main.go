package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is main without the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "stub":
			return runStub(ctx, stdout)
		case "load":
			return runLoad(ctx, stdin, stdout)
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	opts := options{progress: stderr}
	only := flags.String("run", "", "run the cases whose `regexp` matches \"contender/case\"")
	stall := flags.Bool("stall", false, "measure a stalled tenant's neighbours instead")
	ask := flags.Bool("lookup", false, "measure the search for an invocation instead")
	flags.StringVar(&opts.root, "root", ".", "`folder` of the repository, with bin/ and testdata/")
	flags.StringVar(&opts.profiles, "profiles", "", "write a CPU profile of Invoscope for each case into `folder`")
	flags.DurationVar(&opts.duration, "duration", 6*time.Second, "how long each load lasts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if opts.only, err = regexp.Compile(*only); err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if opts.root, err = filepath.Abs(opts.root); err != nil {
		return fmt.Errorf("-root: %w", err)
	}
	if opts.dir, err = os.MkdirTemp("", "invoscope-bench-"); err != nil {
		return fmt.Errorf("make a folder for the contenders: %w", err)
	}
	defer os.RemoveAll(opts.dir)
	switch {
	case *stall:
		return runStall(ctx, opts, stdout)
	case *ask:
		return runLookup(ctx, opts, stdout)
	}
	return runCases(ctx, opts, stdout)
}

// options are what the command line says.
type options struct {
	root     string // of the repository
	dir      string // for the contenders' data; emptied at the end
	profiles string // empty: none
	duration time.Duration
	only     *regexp.Regexp
	progress io.Writer
}

func (o options) binary(name string) string { return filepath.Join(o.root, "bin", name) }
