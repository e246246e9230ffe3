package engine

import (
	"bytes"
	_ "embed" // the configuration templates
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
	"time"

	"github.com/google/renameio/v2"
)

//go:embed config/loki.yaml.tmpl
var lokiTemplate string

//go:embed config/tempo.yaml.tmpl
var tempoTemplate string

// settings are what a configuration template is filled in with.
type settings struct {
	layout
	GRPCPort  int // on loopback, for the engine's own parts
	Retention hours
}

const (
	// queueTime is how much older an entry may be when it leaves our queue than it
	// was when ingest looked at its age.
	queueTime hours = 24
)

// MaxLead is how far in the future an embedded Loki takes an entry: as far as a
// sender's clock may be ahead.
const MaxLead = 24 * time.Hour

// MaxEntryAge is the age from which Loki refuses an entry.
func (s settings) MaxEntryAge() hours { return s.Retention + queueTime }

// MaxEntryLead is how far in the future an entry may be.
func (s settings) MaxEntryLead() hours { return hours(MaxLead / time.Hour) }

// MaxChunkAge makes Loki take every entry between these two into any stream:
// it takes those that are at most half of this behind the stream's newest.
func (s settings) MaxChunkAge() hours { return 2 * (s.MaxEntryAge() + s.MaxEntryLead()) }

// Path is the absolute path of something the engine keeps in its data directory.
func (s settings) Path(name string) string {
	return filepath.Join(s.DataDir, filepath.FromSlash(name))
}

// render fills in a template.
func render(text string, s settings) ([]byte, error) {
	tmpl, err := template.New("engine").Option("missingkey=error").
		Funcs(template.FuncMap{"quote": quote}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse the configuration template: %w", err)
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, s); err != nil {
		return nil, fmt.Errorf("fill in the configuration template: %w", err)
	}
	return out.Bytes(), nil
}

// quote makes a YAML scalar of any string: a JSON string is one.
func quote(s string) (string, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(out.Bytes())), nil
}

// writeConfig writes the configuration of one incarnation of the engine, and
// the file of overrides when there is none yet.
func writeConfig(text string, retention time.Duration, l layout) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	data, err := render(text, settings{layout: l, GRPCPort: port, Retention: hours(retention / time.Hour)})
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(l.Config, data, 0o600); err != nil {
		return fmt.Errorf("write the engine's configuration: %w", err)
	}
	_, err = os.Stat(l.Overrides)
	if errors.Is(err, fs.ErrNotExist) {
		err = renameio.WriteFile(l.Overrides, []byte(noOverrides), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the engine's overrides: %w", err)
	}
	return nil
}

// hours is a duration that is written as both engines read one.
type hours int

// String is for the templates.
func (h hours) String() string { return strconv.Itoa(int(h)) + "h" }

// freePort finds a TCP port on loopback that nobody listens on. Someone may
// take it before the engine does; then the engine exits and is started again
// with another one.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return strconv.Atoi(port)
}
