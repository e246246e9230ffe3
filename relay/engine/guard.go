package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// GuardArg is the hidden first argument with which our own binary is started as
// a guard; main hands what follows it to [Guard].
const GuardArg = "engine-guard"

// lockFD is the descriptor of the lock that the child inherits.
const lockFD = 3

// Guard runs the command in args and returns its exit status, or 128 plus the
// number of the signal that ended it. It must lead its process group, and kills
// that group, itself included, when its standard input ends: the daemon holds
// the other end of that pipe, so the engine dies with it even where the system
// has no parent-death signal.
func Guard(args []string) int {
	if len(args) == 0 || syscall.Getpgrp() != os.Getpid() {
		fmt.Fprintln(os.Stderr, "engine-guard is for invoscope's own use")
		return 2
	}
	// The group's signals are for the engine. They are caught rather than
	// ignored, since a child inherits what is ignored.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)

	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	var stat syscall.Stat_t
	if syscall.Fstat(lockFD, &stat) == nil {
		cmd.ExtraFiles = []*os.File{os.NewFile(lockFD, "lock")}
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = syscall.Kill(0, syscall.SIGKILL)
	}()
	return exitStatus(cmd.Wait())
}

func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 1
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}
