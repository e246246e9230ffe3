package indextest

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/correlate/index"
)

// Place makes an empty place for a store, and returns what opens the store there:
// once it was closed, again.
type Place func(t *testing.T) (open func() (index.Store, error))

// Run tests that the stores of a kind of place do what [index.Store] says.
func Run(t *testing.T, place Place) {
	for name, test := range map[string]func(t *testing.T, open opener){
		"reads what was written":             testReads,
		"deletes":                            testDeletes,
		"scans in order":                     testScan,
		"keys of any bytes":                  testAnyBytes,
		"families are apart":                 testFamilies,
		"tenants never mix":                  testTenants,
		"tenants are listed":                 testListTenants,
		"counters lose nothing":              testCounters,
		"overlapping updates":                testOverlap,
		"an update is seen whole":            testSeenWhole,
		"a large update":                     testLarge,
		"a change that fails writes nothing": testChangeFails,
		"slices are the caller's":            testSlices,
		"a context that ended":               testContext,
		"what was written is there again":    testReopen,
		"a closed store returns errors":      testClosed,
		"bytes":                              testBytes,
		"random operations":                  testRandom,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, openerOf(place(t)))
		})
	}
}

// RunShared tests stores that replicas open at the same place at the same time.
func RunShared(t *testing.T, place Place) {
	for name, test := range map[string]func(t *testing.T, stores ...*store){
		"counters lose nothing": countOn,
		"overlapping updates":   overlapOn,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open := openerOf(place(t))
			test(t, open(t), open(t), open(t))
		})
	}
}

func openerOf(open func() (index.Store, error)) opener {
	return func(t *testing.T) *store {
		t.Helper()
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return &store{s}
	}
}

// opener opens the store of a test, which the test's end closes.
type opener func(t *testing.T) *store

// store is what is tested, with methods that say what a test expects.
type store struct{ index.Store }

// put sets keys, each of an ordered family or, as "key=value", with a value.
func (s *store) put(t *testing.T, tenant string, pairs ...string) {
	t.Helper()
	s.write(t, tenant, index.Writes{Set: keyValues(pairs)})
}

func (s *store) remove(t *testing.T, tenant string, keys ...string) {
	t.Helper()
	s.write(t, tenant, index.Writes{Delete: byteSlices(keys)})
}

func (s *store) write(t *testing.T, tenant string, w index.Writes) {
	t.Helper()
	err := s.Update(t.Context(), tenant, nil, func(_ [][]byte, out *index.Writes) error {
		out.Set, out.Delete = append(out.Set, w.Set...), append(out.Delete, w.Delete...)
		return nil
	})
	if err != nil {
		t.Fatalf("update: %v", err)
	}
}

// wantValue expects a value; "" is none.
func (s *store) wantValue(t *testing.T, tenant, key, want string) {
	t.Helper()
	got, err := s.Get(t.Context(), tenant, []byte(key))
	if err != nil {
		t.Fatalf("get %q of %s: %v", key, tenant, err)
	}
	if string(got) != want || want == "" && got != nil {
		t.Errorf("get %q of %s: got %q, want %q", key, tenant, got, want)
	}
}

// scan is what a test asks of Scan.
type scan struct {
	from, to string
	limit    int
	reverse  bool
}

func (s *store) wantScan(t *testing.T, tenant string, q scan, want ...string) {
	t.Helper()
	got, err := s.Scan(t.Context(), tenant, index.Range{From: []byte(q.from), To: []byte(q.to), Limit: q.limit, Reverse: q.reverse})
	if err != nil {
		t.Fatalf("scan %+v of %s: %v", q, tenant, err)
	}
	if diff := cmp.Diff(append([]string(nil), want...), texts(got)); diff != "" {
		t.Errorf("scan %+v of %s (-want +got):\n%s", q, tenant, diff)
	}
}

// wantAll expects all keys of the families A to Z that begin with a letter.
func (s *store) wantAll(t *testing.T, tenant, family string, want ...string) {
	t.Helper()
	s.wantScan(t, tenant, scan{from: family, to: string(family[0] + 1), limit: 1 << 20}, want...)
}

func keyValues(pairs []string) []index.KeyValue {
	var out []index.KeyValue
	for _, p := range pairs {
		key, value := p, []byte(nil)
		if isValued([]byte(p)) {
			i := slices.Index([]byte(p), '=')
			key, value = p[:i], []byte(p[i+1:])
		}
		out = append(out, index.KeyValue{Key: []byte(key), Value: value})
	}
	return out
}

func byteSlices(texts []string) [][]byte {
	var out [][]byte
	for _, s := range texts {
		out = append(out, []byte(s))
	}
	return out
}

func texts(keys [][]byte) []string {
	var out []string
	for _, k := range keys {
		out = append(out, string(k))
	}
	return out
}

// ended returns a context that ended.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
