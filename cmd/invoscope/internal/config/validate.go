package config

import (
	"iter"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/invoscope/invoscope/tenancy"
)

func splitPath(path string) iter.Seq[string] { return strings.SplitSeq(path, ".") }

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
	// labelName is what Prometheus and Loki take as a label's name.
	labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

const minRequestBytes = 64 << 10

// problems returns all that is wrong with the values, without places.
func (c Config) problems() []Problem {
	var list []Problem
	add := func(path, message string) { list = append(list, Problem{Path: path, Message: message}) }
	check := func(ok bool, path, message string) {
		if !ok {
			add(path, message)
		}
	}
	check(c.DataDir != "", "data_dir", "must not be empty")
	for path, addr := range map[string]string{
		"listen.http": c.Listen.HTTP, "listen.otlp_grpc": c.Listen.OTLPGRPC,
		"listen.otlp_http": c.Listen.OTLPHTTP, "listen.admin": c.Listen.Admin,
	} {
		check(validAddress(addr), path, "want host:port, not "+strconv.Quote(addr))
	}
	check(slices.Contains(logLevels, c.Log.Level), "log.level", oneOf(c.Log.Level, logLevels))
	check(slices.Contains(logFormats, c.Log.Format), "log.format", oneOf(c.Log.Format, logFormats))
	if err := tenancy.ValidTenant(c.Tenancy.DefaultTenant); err != nil {
		add("tenancy.default_tenant", err.Error())
	}
	check(labelName.MatchString(c.Tenancy.Key), "tenancy.key", "want a label name: letters, digits and underscores, not a digit first")
	check(c.Ingest.MaxRequestBytes >= minRequestBytes, "ingest.max_request_bytes", "must be at least 64KiB")
	check(c.Queue.MaxBytes >= c.Ingest.MaxRequestBytes, "queue.max_bytes", "must be at least ingest.max_request_bytes")
	return append(list, c.Engines.problems()...)
}

func (e Engines) problems() []Problem {
	var list []Problem
	add := func(path, message string) { list = append(list, Problem{Path: path, Message: message}) }
	both := "set either binary or url"
	if e.Loki.Binary != "" && e.Loki.URL != "" {
		add("engines.loki.binary", both)
	}
	if e.Tempo.Binary != "" && e.Tempo.URL != "" {
		add("engines.tempo.binary", both)
	}
	if (e.Tempo.URL == "") != (e.Tempo.OTLP == "") {
		add("engines.tempo.url", "a remote Tempo needs both url and otlp")
	}
	for path, u := range map[string]string{"engines.loki.url": e.Loki.URL, "engines.tempo.url": e.Tempo.URL, "engines.tempo.otlp": e.Tempo.OTLP} {
		if u != "" && !validURL(u) {
			add(path, "want http://host or https://host, not "+strconv.Quote(u))
		}
	}
	return list
}

func oneOf(value string, want []string) string {
	return "unsupported " + strconv.Quote(value) + " (want " + strings.Join(want, ", ") + ")"
}

func validAddress(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 0 && n <= 65535
}

func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
