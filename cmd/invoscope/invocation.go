package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/term"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/client"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/trust"
	"github.com/invoscope/invoscope/tenancy"
)

// invocationCmd is `invoscope invocation`, a client of the invocation API.
type invocationCmd struct {
	List     invocationListCmd     `cmd:"" help:"List invocations, the latest first."`
	Show     invocationShowCmd     `cmd:"" help:"Show what is known of an invocation."`
	Timeline invocationTimelineCmd `cmd:"" help:"Tell an invocation's story: its attempts, the waits between them, its spans and log lines."`
	Follow   invocationFollowCmd   `cmd:"" help:"Tell the story as it happens, until the invocation ends."`
}

// Help is shown by invoscope invocation --help.
func (*invocationCmd) Help() string {
	return `An ID may be cut short as long as only one invocation begins with it.
Exit codes: 0 all is well, 1 an error, 2 arguments that make no sense, 3 no such invocation, 130 interrupted.`
}

const (
	exitNotFound    = 3
	exitInterrupted = 130
)

// codedError is an error with an exit code of its own.
type codedError struct {
	error
	code int
}

// ExitCode is for run.
func (e codedError) ExitCode() int { return e.code }

// apiFlags say which Invoscope to ask.
type apiFlags struct {
	DataDir   string `default:"./data" env:"INVOSCOPE_DATA_DIR" placeholder:"DIR" help:"The daemon's data directory, for its address and token (${default})."`
	URL       string `name:"url" env:"INVOSCOPE_URL" placeholder:"URL" help:"Address of Invoscope. Default: that of the daemon that uses the data directory."`
	TokenFile string `env:"INVOSCOPE_TOKEN_FILE" placeholder:"FILE" help:"File with a token that has the scope invocations:read. Default: the daemon's own, unless --url names another."`

	tlsFlags `embed:""`
}

// session is a client, and whom it asks as.
type session struct {
	*client.Client
	tenant string
}

// connect finds the address and the token. The daemon's token goes to the daemon
// only.
func (f *apiFlags) connect() (session, error) {
	run, err := runinfo.Read(f.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		run = runinfo.Info{HTTP: "http://127.0.0.1:3100", Tenant: "default", TokenFile: filepath.Join(f.DataDir, "token")}
	} else if err != nil {
		return session{}, err
	}
	address, file := cmp.Or(f.URL, run.HTTP), f.TokenFile
	if file == "" && strings.TrimSuffix(address, "/") == run.HTTP {
		file = run.TokenFile
	}
	if file == "" && f.CertFile == "" {
		return session{}, fmt.Errorf("no token for %s: give --token-file", address)
	}
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return session{}, fmt.Errorf("--url: want http://HOST:PORT or https://HOST:PORT, not %q", address)
	}
	token := ""
	if file != "" {
		token, err = tenancy.ReadTokenFile(file)
		if errors.Is(err, fs.ErrNotExist) && f.TokenFile == "" {
			return session{}, fmt.Errorf("no token at %s: start `invoscope serve` first, or give --token-file", file)
		} else if err != nil {
			return session{}, err
		}
	}
	transport, err := trust.Transport(f.trust(address, run))
	if err != nil {
		return session{}, err
	}
	c := &client.Client{URL: address, Token: token, HTTP: &http.Client{Transport: transport, CheckRedirect: noRedirect}}
	return session{c, cmp.Or(tenancy.UnverifiedTenant(token), run.Tenant)}, nil
}

// noRedirect keeps the token from going elsewhere.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// wholeID is an id that isn't cut short.
var wholeID = regexp.MustCompile(`^inv_1[0-9A-Za-z]{33}$`)

const idBegins = "inv_1"

// resolve returns the id that begins with prefix.
func (s session) resolve(ctx context.Context, prefix string) (string, error) {
	if wholeID.MatchString(prefix) {
		return prefix, nil
	}
	if !strings.HasPrefix(prefix, idBegins) && !strings.HasPrefix(idBegins, prefix) {
		return "", codedError{fmt.Errorf("%q is not an invocation's id: they begin with %s", prefix, idBegins), exitUsage}
	}
	const shown = 3
	var matches []string
	for found, err := range s.List(ctx, url.Values{"id": {prefix}}, 0) {
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(found.ID, prefix) {
			matches = append(matches, timeline.Clean(found.ID))
		}
		if len(matches) > shown {
			break
		}
	}
	switch {
	case len(matches) == 1:
		return matches[0], nil
	case len(matches) == 0:
		return "", s.unknown(prefix)
	case len(matches) > shown:
		matches = append(matches[:shown], "…")
	}
	return "", fmt.Errorf("several invocations begin with %s: %s", prefix, strings.Join(matches, ", "))
}

// unknown is the error for an invocation that nothing is known of.
func (s session) unknown(id string) error {
	return codedError{fmt.Errorf("no invocation %s is known to tenant %s (does Restate log at info,restate=debug, and does it export its traces here?)", id, s.tenant), exitNotFound}
}

// explain makes a refusal of the server useful.
func (s session) explain(err error, id string) error {
	if client.IsNotFound(err) && id != "" {
		return s.unknown(id)
	}
	var refused *client.StatusError
	if errors.As(err, &refused) {
		refused.Message = timeline.Clean(refused.Message)
		switch refused.Status {
		case http.StatusUnauthorized:
			return fmt.Errorf("%w (is it a token of this Invoscope, and still valid?)", err)
		case http.StatusForbidden:
			return fmt.Errorf("%w (the token needs the scope invocations:read)", err)
		case http.StatusBadRequest:
			return codedError{err, exitUsage}
		case http.StatusNotFound:
			return fmt.Errorf("%w (is it Invoscope that listens there?)", err)
		}
	}
	var unreachable *net.OpError
	if errors.As(err, &unreachable) && unreachable.Op == "dial" {
		return fmt.Errorf("%w (does Invoscope run there?)", err)
	}
	return err
}

// displayFlags say how to write.
type displayFlags struct {
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json: as the API answers, one object a line (${default})."`
	Color  string `enum:"auto,always,never" default:"auto" help:"Colours: auto, always or never; auto is on a terminal, unless NO_COLOR is set (${default})."`
}

// style is how to write to the standard output.
func (f *displayFlags) style(g *globals) timeline.Style {
	s := timeline.Style{Color: f.Color == "always"}
	file, ok := g.stdout.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return s
	}
	if f.Color == "auto" {
		s.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		s.Width = width
	}
	return s
}
