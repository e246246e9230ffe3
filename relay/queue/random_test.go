package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// chaos is an engine that fails at random, refuses some items for good, and whose
// process forgets at its death what it acknowledged within its last life.
type chaos struct {
	mu      sync.Mutex
	random  *rand.Rand
	life    uint64
	stored  map[string]map[string]bool // tenant → items it can no longer lose
	memory  map[string][]string        // tenant → items it could
	foreign []string
	forgets bool
	calm    bool
}

func (c *chaos) Life() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life
}

// Running stands for time that passes, in which what is in memory is saved.
func (c *chaos) Running(context.Context) error {
	c.save()
	return nil
}

func (c *chaos) send(_ context.Context, tenant string, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.calm && c.random.IntN(5) == 0 {
		return errTransient
	}
	for item := range strings.SplitSeq(string(body), "\n") {
		if strings.HasPrefix(item, "bad") {
			return errPermanent
		}
		if !strings.Contains(item, tenant) {
			c.foreign = append(c.foreign, tenant+": "+item)
		}
		c.memory[tenant] = append(c.memory[tenant], item)
	}
	if !c.forgets {
		c.saveLocked()
	}
	return nil
}

func (c *chaos) die() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life++
	clear(c.memory)
}

// save is what an orderly end does.
func (c *chaos) save() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saveLocked()
}

func (c *chaos) saveLocked() {
	for tenant, items := range c.memory {
		for _, item := range items {
			if c.stored[tenant] == nil {
				c.stored[tenant] = map[string]bool{}
			}
			c.stored[tenant][item] = true
		}
	}
	clear(c.memory)
}

// copyQueue is what a kill at this moment leaves on disk. The checkpoint comes
// first, since it may be older than the log and never newer.
func copyQueue(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, "checkpoint.json"))
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "checkpoint.json"), b, 0o600)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, dir := range []string{"log", "dead"} {
		if err := os.MkdirAll(filepath.Join(to, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(filepath.Join(from, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(from, dir, f.Name()))
			if err == nil {
				err = os.WriteFile(filepath.Join(to, dir, f.Name()), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Several lives of a queue, each killed while tenants append and the engine fails
// and dies at random; whatever was acknowledged is stored or a dead letter.
func TestNothingAcknowledgedIsLostAtRandom(t *testing.T) {
	t.Run("by an engine that stores at once", func(t *testing.T) { testNothingIsLost(t, false) })
	t.Run("by a process that forgets", func(t *testing.T) { testNothingIsLost(t, true) })
}

func testNothingIsLost(t *testing.T, forgets bool) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	c := &chaos{random: rand.New(rand.NewPCG(seed, 0)), life: 1, forgets: forgets, stored: map[string]map[string]bool{}, memory: map[string][]string{}}
	options := func(o *Options) {
		o.Send, o.Codec = c.send, lines{}
		if forgets {
			o.Process = c
		}
	}
	acked := map[string][]string{}
	dir := t.TempDir()
	for life := range 6 {
		q := open(t, dir, &fakeEngine{}, options)
		q.log.rotate = 64 << 10
		stop := run(t, q)
		appendAtRandom(t, q, c, life, acked)
		// The engine goes down with the daemon, without having saved anything.
		next := t.TempDir()
		q.log.truncating.Lock() // a copy takes time, a kill doesn't: what is copied must not go meanwhile
		copyQueue(t, dir, next)
		q.log.truncating.Unlock()
		stop()
		c.die()
		dir = next
	}
	c.mu.Lock()
	c.calm = true
	c.mu.Unlock()
	q := open(t, dir, &fakeEngine{}, options)
	defer run(t, q)()
	eventually(t, "everything is sent", func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, l := range q.lines {
			if l.sent < len(l.entries) {
				return false
			}
		}
		return true
	})
	c.save()
	for tenant, items := range acked {
		letters, err := q.dead.List(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			dead := slices.ContainsFunc(letters, func(l Letter) bool { return string(l.Body) == item })
			if bad := strings.HasPrefix(item, "bad"); bad && !dead || !bad && !c.stored[tenant][item] {
				t.Errorf("%s: %.30q was acknowledged and is lost", tenant, item)
			}
		}
	}
	if len(c.foreign) > 0 {
		t.Errorf("of other tenants: %q", c.foreign)
	}
}

func appendAtRandom(t *testing.T, q *Queue, c *chaos, life int, acked map[string][]string) {
	t.Helper()
	var mu sync.Mutex
	var senders sync.WaitGroup
	for tenant := range 8 {
		senders.Go(func() {
			random := rand.New(rand.NewPCG(uint64(life), uint64(tenant)))
			name := fmt.Sprint("tenant-", tenant)
			for i := range 60 {
				kind := "good"
				if random.IntN(40) == 0 {
					kind = "bad"
				}
				item := fmt.Sprintf("%s %s %d %d%s", kind, name, life, i, strings.Repeat("x", random.IntN(4000)))
				if err := q.Append(context.Background(), name, request(item)); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				mu.Lock()
				acked[name] = append(acked[name], item)
				mu.Unlock()
				if random.IntN(50) == 0 {
					c.die()
				}
			}
		})
	}
	senders.Wait()
}
