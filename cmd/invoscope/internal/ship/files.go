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

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/fileconsumer"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/fileconsumer/attrs"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/fileconsumer/matcher"
	"github.com/valyala/fastjson"
	"go.opentelemetry.io/collector/component"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// partialLineWait is how long the last line of a file waits for its newline.
const partialLineWait = 5 * time.Second

// follower reads files as they grow.
type follower struct {
	format Format
	labels *labeler
	log    *slog.Logger
	add    addFunc
	mu     sync.Mutex // several files are read at once
	wait   time.Duration
	files  *lru.Cache[file, *unwrapper]
}

// keepFiles bounds the files whose unwrappers are kept; they come and go with each
// rotation and each pod. One that is made anew has only forgotten the time of the
// file's last line.
const keepFiles = 1024

// file is a file as it was found, and where that leads by symbolic links: the
// kubelet has a link lead to another file when a container starts again.
type file struct{ path, resolved string }

// follow ships the files that match patterns until ctx ends or lines can't be
// stored. Lines that were read but not stored by then stay behind the checkpoints
// in the state directory.
func follow(ctx context.Context, b *batcher, l *labeler, o Options) error {
	cfg, err := followConfig(o)
	if err != nil {
		return err
	}
	f, err := newFollower(b.add, l, o)
	if err != nil {
		return fmt.Errorf("follow files: %w", err)
	}
	set := component.TelemetrySettings{
		Logger:         zapLogger(o.Log),
		MeterProvider:  metricnoop.NewMeterProvider(),
		TracerProvider: tracenoop.NewTracerProvider(),
	}
	manager, err := cfg.Build(set, f.emit, fileconsumer.WithSplitFunc(splitRecords(o.Format, false)))
	if err != nil {
		return fmt.Errorf("follow files: %w", err)
	}
	saved := newCheckpoints(o.StateDir, b.flush, o.Log)
	saved.holds = f.holds
	if err := manager.Start(saved); err != nil {
		return fmt.Errorf("resume from %s: %w", o.StateDir, err)
	}
	select {
	case <-ctx.Done():
	case <-b.failed:
	}
	if err := manager.Stop(); err != nil {
		return fmt.Errorf("stop following files: %w", err)
	}
	f.end()
	saved.catchUp()
	return nil
}

func newFollower(add addFunc, l *labeler, o Options) (f *follower, err error) {
	f = &follower{format: o.Format, labels: l, log: o.Log, add: add, wait: o.MultilineWait}
	// What an unwrapper still holds when it goes is added; the batcher's end tells of
	// an error.
	f.files, err = lru.NewWithEvict(keepFiles, func(_ file, u *unwrapper) { _ = u.end() })
	return f, err
}

// emit adds lines read from one file. It returns no error: the library would
// only log it and read on, and whoever fails here has failed the batcher, after
// which nothing is saved any more. It leaves its context aside, too: when that
// ends, the batcher's own deadline still gives the lines time to be stored.
func (f *follower) emit(_ context.Context, tokens [][]byte, about map[string]any, _ int64, offsets []int64) error {
	_ = f.unwrapper(fileOf(about)).fileTokens(tokens, offsets)
	return nil
}

// fileOf returns the file that attributes are about.
func fileOf(about map[string]any) file {
	path, _ := about[attrs.LogFilePath].(string)
	resolved, _ := about[attrs.LogFilePathResolved].(string)
	return file{path, resolved}
}

// end adds what waits for further lines.
func (f *follower) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.files.Values() {
		_ = u.end()
	}
}

// holds returns where reading must begin again in files of which lines wait.
func (f *follower) holds() map[file]hold {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := map[file]hold{}
	for _, of := range f.files.Keys() {
		if u, ok := f.files.Peek(of); ok {
			if h, waits := u.hold(); waits {
				held[of] = h
			}
		}
	}
	return held
}

func (f *follower) unwrapper(of file) *unwrapper {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, known := f.files.Get(of)
	if !known {
		from := f.labels.fileSource(of.path, of.resolved)
		u = &unwrapper{format: f.format, from: from, joiner: joiner{add: f.add, wait: f.wait}, docker: f.dockerSource(from), journal: newJournal(f.labels, f.log, false)}
		f.files.Add(of, u)
	}
	return u
}

// dockerSource makes a better source for a file of Docker once its lines tell
// more of the container.
func (f *follower) dockerSource(s *source) func(*fastjson.Object) *source {
	return func(attrs *fastjson.Object) *source {
		found := dockerAttrs(attrs)
		if found[containerLabel] == "" {
			return s
		}
		return f.labels.source(found, s.metadata...)
	}
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
	cfg.IncludeFileName, cfg.IncludeFilePath, cfg.IncludeFilePathResolved = false, true, true
	cfg.Encoding = "nop" // leave bytes as they are, whatever they encode
	cfg.MaxLogSize = maxRecord
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
