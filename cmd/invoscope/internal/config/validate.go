package config

import (
	"context"
	"iter"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/queue"
	"github.com/invoscope/invoscope/tenancy"
)

func splitPath(path string) iter.Seq[string] { return strings.SplitSeq(path, ".") }

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
	fsyncs     = []string{string(queue.FsyncBatch), string(queue.FsyncAlways), string(queue.FsyncNever)}
	// labelName is what Prometheus and Loki take as a label's name.
	labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

const (
	minRequestBytes = 64 << 10
	// maxRequestBytes leaves room to what the queue and the engines take at once.
	maxRequestBytes = 32 << 20
	// minAge leaves engines the time to be started again.
	minAge = Duration(time.Minute)
)

// problems returns all that is wrong with the values, without places.
func (c Config) problems() []Problem {
	var list []Problem
	check := func(ok bool, path, message string) {
		if !ok {
			list = append(list, Problem{Path: path, Message: message})
		}
	}
	check(c.DataDir != "", "data_dir", "must not be empty")
	all := problemList{list: &list}
	c.Listen.problems(all.at("listen"))
	check(slices.Contains(logLevels, c.Log.Level), "log.level", oneOf(c.Log.Level, logLevels))
	check(slices.Contains(logFormats, c.Log.Format), "log.format", oneOf(c.Log.Format, logFormats))
	c.Tenancy.problems(all.at("tenancy"), c.Listen.TLS)
	c.Audit.problems(all.at("audit"))
	check(c.Ingest.MaxRequestBytes >= minRequestBytes && c.Ingest.MaxRequestBytes <= maxRequestBytes, "ingest.max_request_bytes", "must be between 64KiB and 32MiB")
	list = append(list, c.Ingest.relabelProblems(c.Tenancy.Key)...)
	list = append(list, c.Queue.problems(c.Ingest.MaxRequestBytes)...)
	list = append(list, c.Index.problems()...)
	check(c.Grafana.URL == "" || validURL(c.Grafana.URL), "grafana.url", "want http://host or https://host, without credentials or a query")
	return append(list, c.Engines.problems()...)
}

const minIndexBytes = 64 << 20

func (x Index) problems() []Problem {
	var list []Problem
	check := func(ok bool, path, message string) {
		if !ok {
			list = append(list, Problem{Path: path, Message: message})
		}
	}
	check(x.Retention >= minRetention, "index.retention", "must be at least a day")
	check(x.MaxBytes >= minIndexBytes, "index.max_bytes", "must be at least 64MiB")
	check(x.Redis == "" || validRedis(string(x.Redis)), "index.redis", "want redis://[user:password@]host[:port][/db] or rediss://…")
	for tenant, own := range x.Tenants {
		if err := tenancy.ValidTenant(tenant); err != nil {
			list = append(list, Problem{Path: "index.tenants." + tenant, Message: err.Error()})
		}
		check(own.Retention == nil || *own.Retention >= minRetention, "index.tenants."+tenant+".retention", "must be at least a day")
	}
	return list
}

func (q Queue) problems(maxRequest Bytes) []Problem {
	var list []Problem
	check := func(ok bool, path, message string) {
		if !ok {
			list = append(list, Problem{Path: path, Message: message})
		}
	}
	check(slices.Contains(fsyncs, string(q.Fsync)), "queue.fsync", oneOf(string(q.Fsync), fsyncs))
	check(q.TenantMaxBytes >= maxRequest, "queue.tenant_max_bytes", "must be at least ingest.max_request_bytes")
	check(q.MaxBytes >= q.TenantMaxBytes, "queue.max_bytes", "must be at least queue.tenant_max_bytes")
	check(q.MaxAge >= minAge, "queue.max_age", "must be at least a minute")
	check(q.DeadMaxBytes >= 2*maxRequest, "queue.dead_max_bytes", "must be at least twice ingest.max_request_bytes: letters are kept as text")
	return list
}

// minRetention is what the engines can work with.
const minRetention = Duration(24 * time.Hour)

func (e Engines) problems() []Problem {
	var list []Problem
	check := func(ok bool, path, message string) {
		if !ok {
			list = append(list, Problem{Path: path, Message: message})
		}
	}
	check(e.Loki.Binary == "" || e.Loki.URL == "", "engines.loki.binary", "set either binary or url")
	check(e.Tempo.Binary == "" || e.Tempo.URL == "", "engines.tempo.binary", "set either binary or url")
	check((e.Tempo.URL == "") == (e.Tempo.OTLP == ""), "engines.tempo.url", "a remote Tempo needs both url and otlp")
	for path, u := range map[string]string{"engines.loki.url": e.Loki.URL, "engines.tempo.url": e.Tempo.URL, "engines.tempo.otlp": e.Tempo.OTLP} {
		check(u == "" || validURL(u), path, "want http://host or https://host, without credentials (they go into headers) or a query")
	}
	for path, retention := range map[string]Duration{"engines.loki.retention": e.Loki.Retention, "engines.tempo.retention": e.Tempo.Retention} {
		check(retention >= minRetention, path, "must be at least a day")
	}
	check(e.Loki.URL != "" || len(e.Loki.Headers) == 0, "engines.loki.headers", "are for a url")
	check(e.Tempo.URL != "" || len(e.Tempo.Headers) == 0, "engines.tempo.headers", "are for a url")
	for path, headers := range map[string]map[string]Secret{"engines.loki.headers": e.Loki.Headers, "engines.tempo.headers": e.Tempo.Headers} {
		for name := range headers {
			check(!strings.EqualFold(name, engine.TenantHeader), path, "must not name a tenant: the token does")
		}
	}
	return append(list, e.remoteProblems()...)
}

// remoteProblems asks the engines' own constructors, which connect to nothing.
func (e Engines) remoteProblems() []Problem {
	var list []Problem
	if validURL(e.Loki.URL) {
		if r, err := engine.NewRemoteLoki(e.Loki.Remote()); err != nil {
			list = append(list, Problem{Path: "engines.loki.url", Message: err.Error()})
		} else {
			discard(r)
		}
	}
	if validURL(e.Tempo.URL) && validURL(e.Tempo.OTLP) {
		if r, err := engine.NewRemoteTempo(e.Tempo.Remote()); err != nil {
			list = append(list, Problem{Path: "engines.tempo.url", Message: err.Error()})
		} else {
			discard(r)
		}
	}
	return list
}

// discard lets go of an engine that was never used.
func discard(r *engine.Remote) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.Run(ended) // it ends at once
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

func validRedis(s string) bool {
	_, err := redis.ParseURL(s)
	return err == nil && !strings.HasPrefix(s, "unix:")
}

func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}
