package engine

import (
	"bytes"
	_ "embed" // the templates of a tenant's entry
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/template"
	"time"

	"github.com/google/renameio/v2"
	"github.com/prometheus/common/model"
)

//go:embed config/loki-tenant.yaml.tmpl
var lokiTenant string

//go:embed config/tempo-tenant.yaml.tmpl
var tempoTenant string

// TenantLimits are what an embedded engine does differently for a tenant; what is
// zero is as for everybody. They are about reading and keeping alone: what an engine
// refuses of a delivery is lost, and the queue delivers faster than anybody sent.
type TenantLimits struct {
	Retention     time.Duration // at least a day
	MaxQueryRange time.Duration // from a query's start to its end
	MaxQueryLimit int64         // of lines; Tempo has no such limit
	MaxTails      int64         // at a time; Tempo has none
}

// overriding is a tenant's entry as its template sees it.
type overriding struct {
	Tenant                   string
	Retention, MaxQueryRange string // empty: as for everybody
	MaxQueryLimit, MaxTails  int64
	DefaultRetention         hours
}

// SetOverrides replaces what is different for single tenants. A running engine has it
// within some seconds: it looks at its file every two. The file is left alone if it
// says so already.
func (e *Embedded) SetOverrides(tenants map[string]TenantLimits) error {
	if e.layout.Overrides == "" {
		return e.err
	}
	data, err := e.renderOverrides(tenants)
	if err != nil {
		return fmt.Errorf("write the overrides of %s: %w", e.kind.name, err)
	}
	if err := replaceFile(e.layout.Overrides, data); err != nil {
		return fmt.Errorf("write the overrides of %s: %w", e.kind.name, err)
	}
	return nil
}

func (e *Embedded) renderOverrides(tenants map[string]TenantLimits) ([]byte, error) {
	entry, err := template.New("tenant").Funcs(template.FuncMap{"quote": quote}).Parse(e.kind.tenant)
	if err != nil {
		return nil, err
	}
	if len(tenants) == 0 {
		return []byte(noOverrides), nil
	}
	out := bytes.NewBufferString("# Written by invoscope; changes here are lost.\noverrides:\n")
	for _, name := range slices.Sorted(maps.Keys(tenants)) {
		own := tenants[name]
		if own.Retention != 0 && own.Retention < minRetention {
			return nil, fmt.Errorf("the retention of %s is less than a day", name) // the engine would refuse the whole file
		}
		err := entry.Execute(out, overriding{
			Tenant: name, Retention: spanOf(own.Retention), MaxQueryRange: spanOf(own.MaxQueryRange),
			MaxQueryLimit: own.MaxQueryLimit, MaxTails: own.MaxTails, DefaultRetention: hours(e.opts.Retention / time.Hour),
		})
		if err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

const (
	noOverrides  = "overrides: {}\n"
	minRetention = 24 * time.Hour
)

// spanOf is a time span as both engines read one.
func spanOf(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return model.Duration(d).String()
}

// replaceFile gives a file other bytes, all at once, unless it has them.
func replaceFile(name string, data []byte) error {
	switch now, err := os.ReadFile(name); {
	case err == nil && bytes.Equal(now, data):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	return renameio.WriteFile(name, data, 0o600)
}
