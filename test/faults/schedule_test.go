//go:build integration

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/invoscope/invoscope/test/harness"
)

// fault is one kind of trouble.
type fault struct {
	name string
	kill bool // it ends a process with SIGKILL
	// run makes the trouble, for about d where it lasts, and reports whether it
	// could.
	run func(ctx context.Context, rng *rand.Rand, d time.Duration) (bool, error)
}

// lane makes one fault after the other. Two lanes run at once, so that troubles
// meet.
type lane struct {
	faults         []fault
	minGap, maxGap time.Duration // between two faults
	lull           time.Duration // added to every tenth gap or so: what was sent before is safe by then
	maxHold        time.Duration // of a fault that lasts
}

// minHold is the least that a fault lasts.
const minHold = 500 * time.Millisecond

// run makes the faults in rounds, each once a round, until ctx ends. All that is
// random is drawn from rng before anything is done: the schedule doesn't depend on
// what the faults meet.
func (s *site) run(ctx context.Context, l lane, rng *rand.Rand) error {
	var round []int
	for {
		if len(round) == 0 {
			round = rng.Perm(len(l.faults))
		}
		f := l.faults[round[0]]
		round = round[1:]
		gap := between(rng, l.minGap, l.maxGap)
		if rng.IntN(10) == 0 {
			gap += l.lull
		}
		held := between(rng, minHold, l.maxHold)
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		if !pause(ctx, gap) {
			return nil
		}
		s.logf("%s begins", f.name)
		happened, err := f.run(ctx, own, held)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		s.logf("%s ends: %v", f.name, happened)
		if !happened {
			continue
		}
		s.count(f.name)
		if f.kill {
			s.mu.Lock()
			s.kills++
			s.mu.Unlock()
		}
	}
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)))
}

// processes are the faults that end processes.
func (s *site) processes(length time.Duration) lane {
	l := lane{minGap: 500 * time.Millisecond, maxGap: 3 * time.Second, maxHold: 2 * time.Second, lull: min(10*time.Second, length/6)}
	l.faults = []fault{
		{name: "daemon SIGKILL", kill: true, run: func(ctx context.Context, _ *rand.Rand, d time.Duration) (bool, error) {
			s.current().Kill()
			hold(ctx, d)
			return true, s.start()
		}},
		{name: "daemon SIGKILL, torn tail", kill: true, run: func(_ context.Context, rng *rand.Rand, _ time.Duration) (bool, error) {
			s.current().Kill()
			if err := s.tear(rng); err != nil {
				return false, err
			}
			return true, s.start()
		}},
		{name: "daemon SIGKILL while starting", kill: true, run: func(ctx context.Context, _ *rand.Rand, d time.Duration) (bool, error) {
			s.current().Kill()
			next := harness.Launch(s.t, s.options)
			hold(ctx, d-minHold) // it takes about half a second to be ready
			next.Kill()
			return true, s.start()
		}},
		{name: "daemon SIGTERM", run: s.restart},
	}
	if s.engines != nil {
		// A Tempo that nobody watches loses what it acknowledged last when it is
		// killed; nothing in front of it can know. It gets SIGTERM.
		l.faults = append(l.faults,
			fault{name: "remote loki SIGKILL", kill: true, run: func(ctx context.Context, _ *rand.Rand, d time.Duration) (bool, error) {
				s.engines["loki"].Process().Kill()
				hold(ctx, d)
				return true, s.engines["loki"].Restart()
			}},
			fault{name: "remote tempo SIGTERM", run: s.restartTempo})
		return l
	}
	for _, engine := range []string{"loki", "tempo"} {
		l.faults = append(l.faults, fault{name: engine + " SIGKILL", kill: true, run: func(context.Context, *rand.Rand, time.Duration) (bool, error) {
			pid, err := s.process(engine)
			return err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil, nil
		}})
	}
	return l
}

func (s *site) restart(context.Context, *rand.Rand, time.Duration) (bool, error) {
	wasFull := s.diskIsFull()
	if err := s.current().Terminate(); err != nil {
		s.current().Kill()
		// What a full disk keeps it from writing down it may complain about.
		if !wasFull && !s.diskIsFull() {
			s.t.Errorf("the daemon did not stop in order: %v", err)
		}
	}
	return true, s.start()
}

// tempoStop is how long Tempo may take to end. It hangs when it was queried not
// long before, and has written everything down by then.
const tempoStop = 15 * time.Second

func (s *site) restartTempo(context.Context, *rand.Rand, time.Duration) (bool, error) {
	tempo := s.engines["tempo"]
	if err := tempo.Process().Terminate(tempoStop); err != nil {
		s.count("remote tempo killed after SIGTERM")
		tempo.Process().Kill()
	}
	return true, tempo.Restart()
}

// surroundings are the faults that last for a while.
func (s *site) surroundings(maxHold time.Duration) lane {
	l := lane{minGap: 500 * time.Millisecond, maxGap: 2500 * time.Millisecond, maxHold: maxHold}
	add := func(name string, run func(context.Context, *rand.Rand, time.Duration) (bool, error)) {
		l.faults = append(l.faults, fault{name: name, run: run})
	}
	for _, name := range []string{"loki", "tempo", "daemon"} {
		add(name+" SIGSTOP", func(ctx context.Context, _ *rand.Rand, d time.Duration) (bool, error) {
			return s.stall(ctx, name, d), nil
		})
	}
	add("clock step", func(ctx context.Context, rng *rand.Rand, d time.Duration) (bool, error) {
		offset := time.Duration(rng.Int64N(int64(2*time.Hour))) - time.Hour
		err := s.stepClock(offset)
		hold(ctx, d)
		return true, errors.Join(err, s.stepClock(0))
	})
	full := func(name string, disks []*smallDisk) {
		add(name+" disk full", func(ctx context.Context, _ *rand.Rand, d time.Duration) (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			return true, fillDisks(ctx, disks)
		})
	}
	for i, disk := range s.disks {
		full(disk.name, s.disks[i:i+1])
	}
	if len(s.disks) > 1 {
		full("whole", s.disks)
	}
	for _, engine := range []string{"loki", "tempo"} {
		p := s.proxies[engine]
		if p == nil {
			continue
		}
		for _, m := range misbehaviours {
			add(engine+" "+m.name, func(ctx context.Context, rng *rand.Rand, d time.Duration) (bool, error) {
				return p.misbehave(ctx, m.act, 1+rng.Int64N(2), d*m.lasts), nil
			})
		}
	}
	return l
}

// misbehaviours are what engines, and gateways before them, do.
var misbehaviours = []struct {
	name  string
	lasts time.Duration // times as long as other faults
	act   func(*proxy, http.ResponseWriter, *http.Request)
}{
	{"answers 429", 1, refuse(http.StatusTooManyRequests, codes.ResourceExhausted, 1)},
	{"answers 500", 1, refuse(http.StatusInternalServerError, codes.Internal, 0)},
	{"answers 503", 1, refuse(http.StatusServiceUnavailable, codes.Unavailable, 0)},
	{"gateway answers 502", 1, gatewayError(http.StatusBadGateway)},
	{"hangs", 3, hang}, // longer than the queue waits for an answer, in a long run,
	{"loses answers", 1, loseAnswer},
	{"loses requests", 1, loseRequest},
}

// tear puts after the end of the queue's logs, and of that of a Loki that the
// daemon runs, what a write that was cut off, or never reached the disk, leaves there.
func (s *site) tear(rng *rand.Rand) error {
	logs := []string{filepath.Join("queue", "logs", "log"), filepath.Join("queue", "traces", "log")}
	if s.engines == nil {
		// Nothing may come after what is torn.
		if err := s.awaitEnd("loki"); err != nil {
			return err
		}
		logs = append(logs, filepath.Join("loki", "wal"))
	}
	for _, log := range logs {
		segment, err := lastSegment(filepath.Join(s.options.DataDir, log))
		if err != nil {
			return err
		}
		file, err := os.OpenFile(segment, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("tear the log: %w", err)
		}
		_, err = file.Write(torn(rng))
		file.Close()
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("tear the log: %w", err)
		}
	}
	return nil
}

// torn is the beginning of a record in the format of Prometheus's write-ahead log
// (type, length, checksum, data), noise, or zeros.
func torn(rng *rand.Rand) []byte {
	noise := make([]byte, 8+rng.IntN(40<<10))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	switch rng.IntN(3) {
	case 0:
		header := []byte{1 + byte(rng.IntN(2)), 0x40, 0, 1, 2, 3, 4} // a full or a first record of 16 KiB
		return append(header, noise[:min(len(noise), 8<<10)]...)
	case 1:
		return noise
	default:
		clear(noise)
		return noise
	}
}

func lastSegment(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("find the last segment: %w", err)
	}
	last := ""
	for _, e := range entries { // sorted by name
		if _, err := strconv.Atoi(e.Name()); err == nil {
			last = filepath.Join(dir, e.Name())
		}
	}
	if last == "" {
		return "", fmt.Errorf("find the last segment: none in %s", dir)
	}
	return last, nil
}
