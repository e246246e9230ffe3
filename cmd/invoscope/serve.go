package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/app"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/filewatch"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
	"github.com/invoscope/invoscope/tenancy/redact"
)

// configFlags are the flags that say how the daemon is configured. An empty one
// leaves what the file says.
type configFlags struct {
	Config    string `help:"Configuration file." placeholder:"FILE" env:"INVOSCOPE_CONFIG" type:"existingfile"`
	DataDir   string `help:"Directory of everything that is kept (default ./data)." placeholder:"DIR" env:"INVOSCOPE_DATA_DIR"`
	HTTP      string `name:"http" help:"Address of the public port (default 127.0.0.1:3100)." placeholder:"ADDR" env:"INVOSCOPE_HTTP"`
	OTLPGRPC  string `name:"otlp-grpc" help:"Address of the OTLP/gRPC port (default 127.0.0.1:4317)." placeholder:"ADDR" env:"INVOSCOPE_OTLP_GRPC"`
	OTLPHTTP  string `name:"otlp-http" help:"Address of the OTLP/HTTP port (default 127.0.0.1:4318)." placeholder:"ADDR" env:"INVOSCOPE_OTLP_HTTP"`
	Admin     string `help:"Address of metrics, health and profiles (default 127.0.0.1:9464)." placeholder:"ADDR" env:"INVOSCOPE_ADMIN"`
	LogLevel  string `help:"debug, info, warn or error (default info)." placeholder:"LEVEL" env:"INVOSCOPE_LOG_LEVEL"`
	LogFormat string `help:"text or json (default text)." placeholder:"FORMAT" env:"INVOSCOPE_LOG_FORMAT"`
}

func (f configFlags) load() (config.Config, error) {
	return config.Load(f.Config, func(c *config.Config) {
		for _, one := range []struct {
			flag string
			into *string
		}{
			{f.DataDir, &c.DataDir},
			{f.HTTP, &c.Listen.HTTP},
			{f.OTLPGRPC, &c.Listen.OTLPGRPC},
			{f.OTLPHTTP, &c.Listen.OTLPHTTP},
			{f.Admin, &c.Listen.Admin},
			{f.LogLevel, &c.Log.Level},
			{f.LogFormat, &c.Log.Format},
		} {
			if one.flag != "" {
				*one.into = one.flag
			}
		}
	})
}

type serveCmd struct {
	configFlags `embed:""`
}

// Run runs the daemon until the context ends.
func (c *serveCmd) Run(g *globals) error {
	// From before anything takes time: it must not end us.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	files := filewatch.Look(c.Config)
	cfg, err := c.load()
	if err != nil {
		return err
	}
	daemon, err := app.New(cfg, newLogger(cfg.Log, g.stderr), clock())
	if err != nil {
		return err
	}
	daemon.Reread(files, c.load)
	ctx, cancel := context.WithCancel(g.ctx)
	defer cancel()
	go reloadAt(ctx, hangups, daemon)
	return daemon.Run(ctx, func(info runinfo.Info) { printWelcome(g.stdout, info) })
}

// reloadAt reloads at each signal, until ctx ends.
func reloadAt(ctx context.Context, signals <-chan os.Signal, daemon *app.App) {
	for {
		select {
		case <-signals:
			daemon.Reload()
		case <-ctx.Done():
			return
		}
	}
}

// newLogger returns a logger. What an error or an engine's own line says is not in our
// hands, so secrets are taken out of what is written.
func newLogger(c config.Log, w io.Writer) *slog.Logger {
	w = redact.Writer(w)
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // validated with the configuration
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// printWelcome says where things are and what to do next, in commands to copy.
func printWelcome(w io.Writer, info runinfo.Info) {
	self, logcli := os.Args[0], "logcli"
	if beside := filepath.Join(filepath.Dir(self), "logcli"); strings.Contains(self, "/") && exists(beside) {
		logcli = beside
	}
	_, _ = fmt.Fprintf(w, `Invoscope is ready.

  URL      %[1]s  (a Loki and a Tempo; also takes OTLP and Loki push)
  OTLP     %[2]s (gRPC), %[3]s (HTTP)
  tenant   %[4]s
  token    %[8]s
%[9]s
Send the traces and logs of a Restate server:

  export RESTATE_TRACING_ENDPOINT=otlp+%[3]s/v1/traces RESTATE_TRACING_HEADERS__AUTHORIZATION="Bearer $(cat %[5]s)" RESTATE_LOG_FORMAT=json RESTATE_LOG_FILTER=info,restate=debug
  npx --yes @restatedev/restate-server 2>&1 | %[6]s ship --url %[1]s --token-file %[5]s --file -

Query the logs:

  LOKI_ADDR=%[1]s LOKI_BEARER_TOKEN_FILE=%[5]s %[7]s query '{kubernetes_container_name="restate"}'

Provision Grafana:

  %[6]s grafana provision --url %[1]s --token-file %[5]s > invoscope.yaml  # into Grafana's provisioning/datasources

`, info.HTTP, info.OTLPGRPC, info.OTLPHTTP, info.Tenant, quote(info.TokenFile), quote(self), quote(logcli), info.TokenFile, certificateNote(info))
}

// certificateNote says what clients need to know of the certificate, if there is one.
func certificateNote(info runinfo.Info) string {
	if info.CertFile == "" {
		return ""
	}
	return fmt.Sprintf(`  TLS      by %s; clients that don't know its authority are told by
           --ca-file (invoscope), LOKI_CA_CERT_PATH (logcli), SSL_CERT_FILE (Restate)
`, info.CertFile)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// plainWord is what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// quote makes one word of s for a POSIX shell.
func quote(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
