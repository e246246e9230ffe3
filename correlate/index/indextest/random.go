package indextest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/correlate/index"
)

// testRandom does the same random operations to the store and to a Memory, which
// must answer the same. The seed is printed.
func testRandom(t *testing.T, open opener) {
	const operations = 3000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := &random{Rand: rand.New(rand.NewPCG(seed, 0))}
	s, model := open(t), NewMemory()
	for i := range operations {
		if i%1000 == 999 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t)
		}
		if i%500 == 250 {
			if err := s.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		op := r.operation()
		want, wantErr := op.do(t.Context(), model)
		got, gotErr := op.do(t.Context(), s)
		if wantErr != nil || gotErr != nil {
			t.Fatalf("operation %d, %s: %v; of the model: %v", i, op.name, gotErr, wantErr)
		}
		if len(want)+len(got) == 0 {
			continue // nil or empty
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("operation %d, %s (-want +got):\n%s", i, op.name, diff)
		}
	}
}

// operation is something to do to a store.
type operation struct {
	name string
	do   func(ctx context.Context, s index.Store) ([][]byte, error)
}

// random makes operations. Its keys are short and of few letters, so that they meet.
type random struct{ *rand.Rand }

func (r *random) operation() operation {
	tenant := []string{"a", "a-b", "a_"}[r.IntN(3)]
	switch n := r.IntN(10); {
	case n < 5:
		return r.update(tenant)
	case n < 7:
		key := r.key("rs")
		return operation{fmt.Sprintf("get %q of %s", key, tenant), func(ctx context.Context, s index.Store) ([][]byte, error) {
			v, err := s.Get(ctx, tenant, key)
			return [][]byte{v}, err
		}}
	default:
		return r.scan(tenant)
	}
}

func (r *random) update(tenant string) operation {
	var keys [][]byte
	for range r.IntN(4) {
		keys = append(keys, r.key("rs"))
	}
	var w index.Writes
	for range r.IntN(5) {
		w.Set = append(w.Set, index.KeyValue{Key: r.key("rs"), Value: r.text()}, index.KeyValue{Key: r.key("TU")})
	}
	for range r.IntN(5) {
		w.Delete = append(w.Delete, r.key("rsTU"))
	}
	name := fmt.Sprintf("update of %s: read %q, set %q, delete %q", tenant, keys, w.Set, w.Delete)
	return operation{name, func(ctx context.Context, s index.Store) ([][]byte, error) {
		var seen [][]byte
		err := s.Update(ctx, tenant, keys, func(values [][]byte, out *index.Writes) error {
			seen = values
			out.Delete = slices.Clone(w.Delete)
			out.Set = slices.Clone(w.Set)
			for i, v := range values { // what is written depends on what was read
				out.Set = append(out.Set, index.KeyValue{Key: keys[i], Value: append(slices.Clone(v), byte(len(v)))})
			}
			return nil
		})
		return seen, err
	}}
}

func (r *random) scan(tenant string) operation {
	from := r.key("TU")
	to := append([]byte{from[0]}, r.text()...)
	if r.IntN(3) == 0 {
		to = []byte{from[0] + 1}
	}
	limit, reverse := r.IntN(8), r.IntN(2) == 0
	name := fmt.Sprintf("scan of %s: %q to %q, limit %d, reverse %t", tenant, from, to, limit, reverse)
	return operation{name, func(ctx context.Context, s index.Store) ([][]byte, error) {
		return s.Scan(ctx, tenant, index.Range{From: from, To: to, Limit: limit, Reverse: reverse})
	}}
}

func (r *random) key(families string) []byte {
	return append([]byte{families[r.IntN(len(families))]}, r.text()...)
}

func (r *random) text() []byte {
	text := make([]byte, r.IntN(4))
	for i := range text {
		text[i] = "\x00\x01a\xff"[r.IntN(4)]
	}
	return text
}
