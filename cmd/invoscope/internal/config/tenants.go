package config

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/limits"
)

// tenantsFile is the file of [Tenancy.TenantsFile].
type tenantsFile struct {
	Defaults TenantLimits            `yaml:"defaults"`
	Tenants  map[string]TenantLimits `yaml:"tenants"`
}

// TenantLimits are what one tenant may use. Zero is no limit, and for a retention
// what the engine has for all.
type TenantLimits struct {
	IngestBytesPerSecond Bytes    `yaml:"ingest_bytes_per_second"` // of bodies, decompressed; logs and traces together
	IngestBurstBytes     Bytes    `yaml:"ingest_burst_bytes"`      // zero: a second's worth, and at least one request's
	SpansPerSecond       uint64   `yaml:"spans_per_second"`
	MaxRequestBytes      Bytes    `yaml:"max_request_bytes"` // zero: ingest.max_request_bytes
	QueriesPerSecond     uint64   `yaml:"queries_per_second"`
	MaxConcurrentQueries uint64   `yaml:"max_concurrent_queries"`
	MaxTails             uint64   `yaml:"max_tails"` // live tails, streams and followers
	MaxQueryRange        Duration `yaml:"max_query_range"`
	MaxQueryLimit        uint64   `yaml:"max_query_limit"` // of lines or traces
	LogRetention         Duration `yaml:"log_retention"`
	TraceRetention       Duration `yaml:"trace_retention"`
}

// LoadTenants returns what a tenants file says; path may be "", which limits nothing.
// What a tenant doesn't set is the defaults'. It validates the whole beside the
// configuration c and reports every problem at once, as [*Problems].
func LoadTenants(path string, c Config) (limits.Set, error) {
	if path == "" {
		return limits.Set{}, nil
	}
	d := &decoder{getenv: lookupEnv, places: map[string]*yaml.Node{}}
	doc, err := d.document(path)
	if err != nil {
		return limits.Set{}, err
	}
	var file tenantsFile
	if doc != nil {
		d.elements = map[reflect.Type]reflect.Value{reflect.TypeFor[TenantLimits](): reflect.ValueOf(defaultsIn(doc))}
		d.decode(doc, reflect.ValueOf(&file).Elem(), "")
	}
	for _, p := range file.problems(c) {
		if n := d.place(p.Path); n != nil {
			p.Line, p.Column = n.Line, n.Column
		}
		d.problems = append(d.problems, p)
	}
	if len(d.problems) > 0 {
		return limits.Set{}, &Problems{File: path, List: d.problems}
	}
	set := limits.Set{Defaults: file.Defaults.limits(c), Tenants: make(map[string]limits.Limits, len(file.Tenants))}
	for name, own := range file.Tenants {
		set.Tenants[name] = own.limits(c)
	}
	return set, nil
}

// defaultsIn reads the defaults of a tenants file before the rest, wherever they
// stand. What is wrong with them is said when the whole is read.
func defaultsIn(doc *yaml.Node) (l TenantLimits) {
	d := &decoder{getenv: lookupEnv, places: map[string]*yaml.Node{}}
	for i := 0; doc.Kind == yaml.MappingNode && i+1 < len(doc.Content); i += 2 {
		if doc.Content[i].Value == "defaults" {
			d.decode(doc.Content[i+1], reflect.ValueOf(&l).Elem(), "defaults")
			break
		}
	}
	return l
}

// limits returns them as the limiter wants them.
func (t TenantLimits) limits(c Config) limits.Limits {
	l := limits.Limits{
		IngestBytesPerSecond: int64(t.IngestBytesPerSecond),
		IngestBurstBytes:     int64(t.IngestBurstBytes),
		SpansPerSecond:       int64(t.SpansPerSecond),
		MaxRequestBytes:      int64(t.maxRequest(c)),
		QueriesPerSecond:     int64(t.QueriesPerSecond),
		MaxConcurrentQueries: int64(t.MaxConcurrentQueries),
		MaxTails:             int64(t.MaxTails),
		MaxQueryRange:        time.Duration(t.MaxQueryRange),
		MaxQueryLimit:        int64(t.MaxQueryLimit),
		LogRetention:         time.Duration(t.LogRetention),
		TraceRetention:       time.Duration(t.TraceRetention),
	}
	if l.IngestBytesPerSecond > 0 && l.IngestBurstBytes == 0 {
		l.IngestBurstBytes = max(l.IngestBytesPerSecond, l.MaxRequestBytes)
	}
	return l
}

// maxRequest is how large a request may be.
func (t TenantLimits) maxRequest(c Config) Bytes {
	return cmp.Or(t.MaxRequestBytes, c.Ingest.MaxRequestBytes)
}

func (f tenantsFile) problems(c Config) []Problem {
	list := f.Defaults.problems("defaults", c)
	inherited := map[string]bool{} // it is said once
	for _, p := range list {
		inherited[p.Message+strings.TrimPrefix(p.Path, "defaults")] = true
	}
	for _, name := range slices.Sorted(maps.Keys(f.Tenants)) {
		path := "tenants." + name
		if err := tenancy.ValidTenant(name); err != nil {
			list = append(list, Problem{Path: path, Message: err.Error()})
		}
		for _, p := range f.Tenants[name].problems(path, c) {
			if !inherited[p.Message+strings.TrimPrefix(p.Path, path)] {
				list = append(list, p)
			}
		}
	}
	return list
}

const (
	// maxCount bounds what is counted. It is more than anybody does in a second.
	maxCount = 1_000_000_000
	maxRate  = Bytes(1 << 40)
)

func (t TenantLimits) problems(path string, c Config) []Problem {
	var list []Problem
	check := func(ok bool, key, message string) {
		if !ok {
			list = append(list, Problem{Path: path + "." + key, Message: message})
		}
	}
	for key, n := range map[string]uint64{
		"spans_per_second": t.SpansPerSecond, "queries_per_second": t.QueriesPerSecond, "max_concurrent_queries": t.MaxConcurrentQueries,
		"max_tails": t.MaxTails, "max_query_limit": t.MaxQueryLimit,
	} {
		check(n <= maxCount, key, "must be at most 1000000000")
	}
	check(t.IngestBytesPerSecond >= 0 && t.IngestBytesPerSecond <= maxRate, "ingest_bytes_per_second", "must be between 0 and 1TiB")
	check(t.MaxRequestBytes == 0 || t.MaxRequestBytes >= minTenantRequest && t.MaxRequestBytes <= c.Ingest.MaxRequestBytes,
		"max_request_bytes", "must be 0, or between 1KiB and ingest.max_request_bytes")
	check(t.IngestBurstBytes <= 0 || t.IngestBytesPerSecond == 0 || t.IngestBurstBytes >= t.maxRequest(c) && t.IngestBurstBytes <= maxRate,
		"ingest_burst_bytes", "must be 0, or at least the largest request ("+t.maxRequest(c).text()+"), which else never gets through")
	check(t.IngestBurstBytes >= 0, "ingest_burst_bytes", "must not be negative")
	check(t.MaxQueryRange == 0 || t.MaxQueryRange >= minQueryRange, "max_query_range", "must be 0, or at least a second")
	check(t.LogRetention == 0 || t.LogRetention >= minRetention, "log_retention", "must be 0, or at least a day")
	check(t.TraceRetention == 0 || t.TraceRetention >= minRetention, "trace_retention", "must be 0, or at least a day")
	return list
}

const (
	minTenantRequest = Bytes(1 << 10)
	minQueryRange    = Duration(time.Second)
)

func (b Bytes) text() string {
	text, _ := b.MarshalText() // never fails
	return string(text)
}
