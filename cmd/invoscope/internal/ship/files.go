package ship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/fileconsumer"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/fileconsumer/attrs"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/fileconsumer/matcher"
	"go.opentelemetry.io/collector/component"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// partialLineWait is how long the last line of a file waits for its newline.
const partialLineWait = 5 * time.Second

// follower reads files as they grow and adds their lines to a queue.
type follower struct {
	queue   *queue
	mu      sync.Mutex         // several files are read at once
	sources map[string]*source // by path
}

// follow ships the files that match patterns until ctx ends or the queue fails.
// Lines that were read but not settled by then stay behind the checkpoints in
// stateDir.
func follow(ctx context.Context, q *queue, o Options) error {
	saved, err := openCheckpoints(o.StateDir, q.flush, o.Log)
	if err != nil {
		return err
	}
	defer saved.close()
	cfg, err := followConfig(o)
	if err != nil {
		return err
	}
	f := &follower{queue: q, sources: map[string]*source{}}
	set := component.TelemetrySettings{
		Logger:         zapLogger(o.Log),
		MeterProvider:  metricnoop.NewMeterProvider(),
		TracerProvider: tracenoop.NewTracerProvider(),
	}
	manager, err := cfg.Build(set, f.emit, fileconsumer.WithSplitFunc(splitLines(false)))
	if err != nil {
		return fmt.Errorf("follow files: %w", err)
	}
	if err := manager.Start(saved); err != nil {
		return fmt.Errorf("resume from %s: %w", o.StateDir, err)
	}
	select {
	case <-ctx.Done():
	case <-q.failed:
	}
	if err := manager.Stop(); err != nil {
		return fmt.Errorf("stop following files: %w", err)
	}
	return nil
}

// emit adds lines read from one file. It returns no error: the library would
// only log it and read on, and whoever fails here has failed the queue, after
// which nothing is saved any more. It leaves its context aside, too: when that
// ends, the queue's own deadline still gives the lines time to be delivered.
func (f *follower) emit(_ context.Context, lines [][]byte, about map[string]any, _ int64, offsets []int64) error {
	path, _ := about[attrs.LogFilePath].(string)
	from := f.source(path)
	for i, line := range lines {
		if f.queue.add(line, origin{from, offsets[i]}) != nil {
			break
		}
	}
	return nil
}

func (f *follower) source(path string) *source {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sources[path]
	if s == nil {
		s = newFile(path)
		f.sources[path] = s
	}
	return s
}

func followConfig(o Options) (*fileconsumer.Config, error) {
	cfg := fileconsumer.NewConfig()
	cfg.Exclude = []string{"**/*.gz", "**/*.zst", "**/*.bz2", "**/*.xz", "**/*.zip"}
	var problems []error
	for _, file := range o.Files {
		pattern, err := filePattern(file)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		cfg.Include = append(cfg.Include, pattern)
		warnIfNone(matcher.Criteria{Include: []string{pattern}, Exclude: cfg.Exclude}, file, o.Log)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	cfg.StartAt = "beginning"
	if o.FromEnd {
		cfg.StartAt = "end"
	}
	cfg.IncludeFileName, cfg.IncludeFilePath = false, true
	cfg.Encoding = "nop" // leave bytes as they are, whatever they encode
	cfg.MaxLogSize = maxLineBuffer
	cfg.FlushPeriod = partialLineWait
	return cfg, nil
}

// filePattern turns what the user named into an absolute glob pattern. The name
// of an existing file stands for itself, even with [ or * in it.
func filePattern(file string) (string, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("file %s: %w", file, err)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, nil
	case err != nil:
		return "", fmt.Errorf("file %s: %w", file, err)
	case info.IsDir():
		return "", fmt.Errorf("file %s: is a directory; name a pattern such as %s", file, filepath.Join(file, "*.log"))
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("file %s: is not a regular file; ship it through standard input: --file - < %s", file, file)
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `{`, `\{`).Replace(path), nil
}

// warnIfNone says when nothing matches a pattern yet, which is often a typo.
func warnIfNone(c matcher.Criteria, file string, log *slog.Logger) {
	m, err := matcher.New(c)
	if err != nil {
		return // the follower's own configuration reports it
	}
	if found, _ := m.MatchFiles(); len(found) == 0 {
		log.Warn("no readable, uncompressed file matches yet; waiting for one", "file", file)
	}
}
