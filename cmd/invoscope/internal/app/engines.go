package app

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/relay/engine"
)

func (a *App) openEngines() error {
	var err error
	if a.loki, err = a.openLoki(); err != nil {
		return fmt.Errorf("set up Loki: %w", err)
	}
	if a.tempo, err = a.openTempo(); err != nil {
		return fmt.Errorf("set up Tempo: %w", err)
	}
	return nil
}

func (a *App) openLoki() (supervised, error) {
	c := a.cfg.Engines.Loki
	if c.URL != "" {
		return engine.NewRemoteLoki(c.Remote())
	}
	o, err := a.embedded("loki", c.Binary, c.Retention)
	if err != nil {
		return nil, err
	}
	return engine.NewLoki(o), nil
}

func (a *App) openTempo() (supervised, error) {
	c := a.cfg.Engines.Tempo
	if c.URL != "" {
		return engine.NewRemoteTempo(c.Remote())
	}
	o, err := a.embedded("tempo", c.Binary, c.Retention)
	if err != nil {
		return nil, err
	}
	return engine.NewTempo(o), nil
}

func (a *App) embedded(name, binary string, retention config.Duration) (engine.EmbeddedOptions, error) {
	if binary == "" {
		var err error
		if binary, err = findBinary(name); err != nil {
			return engine.EmbeddedOptions{}, err
		}
	}
	return engine.EmbeddedOptions{
		Binary:     binary,
		DataDir:    filepath.Join(a.cfg.DataDir, name),
		Retention:  time.Duration(retention),
		Log:        a.log,
		Registerer: a.registry,
	}, nil
}

// findBinary looks for an engine beside our own executable and then on the PATH.
func findBinary(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(beside); err == nil && !info.IsDir() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("there is no %s beside invoscope or on the PATH: run `make engines`, or set engines.%s.binary or engines.%s.url", name, name, name)
	}
	return path, nil
}
