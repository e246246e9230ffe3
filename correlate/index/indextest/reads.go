package indextest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/invoscope/invoscope/correlate/index"
)

func testReads(t *testing.T, open opener) {
	s := open(t)
	s.wantValue(t, "a", "r1", "")
	s.put(t, "a", "r1=one", "r2=two", "T1")
	s.wantValue(t, "a", "r1", "one")
	s.wantValue(t, "a", "r2", "two")
	s.wantValue(t, "a", "r", "")
	s.wantValue(t, "a", "r11", "")
	s.put(t, "a", "r1=another", "T1")
	s.wantValue(t, "a", "r1", "another")
	s.wantAll(t, "a", "T", "T1")

	s.put(t, "a", "r3=")
	if got, err := s.Get(t.Context(), "a", []byte("r3")); err != nil || got == nil || len(got) != 0 {
		t.Errorf("get of an empty value: got %v (nil: %t), %v; want an empty one", got, got == nil, err)
	}
	var values [][]byte
	err := s.Update(t.Context(), "a", byteSlices([]string{"r2", "r9", "r3", "r2"}), func(v [][]byte, _ *index.Writes) error {
		values = v
		return nil
	})
	want := [][]byte{[]byte("two"), nil, {}, []byte("two")}
	if diff := cmp.Diff(want, values); diff != "" || err != nil {
		t.Errorf("values of an update: %v (-want +got):\n%s", err, diff)
	}
}

func testDeletes(t *testing.T, open opener) {
	s := open(t)
	s.put(t, "a", "r1=one", "r2=two", "T1", "T2")
	s.remove(t, "a", "r1", "T1", "r7", "T7")
	s.wantValue(t, "a", "r1", "")
	s.wantValue(t, "a", "r2", "two")
	s.wantAll(t, "a", "T", "T2")
	s.put(t, "a", "r1=again", "T1")
	s.wantValue(t, "a", "r1", "again")
	s.wantAll(t, "a", "T", "T1", "T2")

	s.write(t, "a", index.Writes{
		Set:    keyValues([]string{"r1=both", "T1", "T3"}),
		Delete: byteSlices([]string{"r1", "T1", "T3", "T2"}),
	})
	s.wantValue(t, "a", "r1", "both")
	s.wantAll(t, "a", "T", "T1", "T3")
}

func testScan(t *testing.T, open opener) {
	s := open(t)
	s.wantScan(t, "a", scan{from: "T", to: "U", limit: 10})
	keys := []string{"T", "T1", "T10", "T2", "T20", "T3"}
	shuffled := []string{keys[3], keys[0], keys[5], keys[1], keys[4], keys[2]}
	s.put(t, "a", append(shuffled, "S9", "U0", "r=r")...)
	for _, c := range []struct {
		scan
		want []string
	}{
		{scan{from: "T", to: "U", limit: 10}, keys},
		{scan{from: "T", to: "U", limit: 6}, keys},
		{scan{from: "T", to: "U", limit: 2}, keys[:2]},
		{scan{from: "T", to: "U", limit: 1, reverse: true}, keys[5:]},
		{scan{from: "T", to: "U", limit: 10, reverse: true}, reversed(keys)},
		{scan{from: "T", to: "U", limit: 0}, nil},
		{scan{from: "T1", to: "T2", limit: 10}, keys[1:3]},
		{scan{from: "T1", to: "T2", limit: 10, reverse: true}, reversed(keys[1:3])},
		{scan{from: "T1", to: "T2\x00", limit: 10}, keys[1:4]},
		{scan{from: "T1\x00", to: "T2", limit: 10}, keys[2:3]},
		{scan{from: "T11", to: "T2", limit: 10}, nil},
		{scan{from: "T2", to: "T2", limit: 10}, nil},
		{scan{from: "T3", to: "T1", limit: 10}, nil},
		{scan{from: "T3", to: "T1", limit: 10, reverse: true}, nil},
		{scan{from: "T", to: "T1", limit: 10}, keys[:1]},
		{scan{from: "T3", to: "T9", limit: 10}, keys[5:]},
		{scan{from: "V", to: "W", limit: 10}, nil},
	} {
		s.wantScan(t, "a", c.scan, c.want...)
	}
}

func reversed(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Reverse(keys)
	return keys
}

// testAnyBytes has keys with every byte at every place that matters, keys that
// begin with one another, and the longest.
func testAnyBytes(t *testing.T, open opener) {
	s := open(t)
	var ordered, valued []string
	for b := range 256 {
		for _, rest := range []string{string(rune(0)), "\x00\xff", "\xff\x00", ":{}*\r\n "} {
			key := string([]byte{byte(b)}) + rest
			ordered = append(ordered, "T"+key, "T\xff"+key)
			valued = append(valued, "r"+key)
		}
		ordered = append(ordered, "T"+string([]byte{byte(b)}))
	}
	ordered = append(ordered, "T", "T"+strings.Repeat("\xff", maxKey-1), "T"+strings.Repeat("\x00", maxKey-1))
	valued = append(valued, "r", "r"+strings.Repeat("\xff", maxKey-1))
	var w index.Writes
	for _, k := range ordered {
		w.Set = append(w.Set, index.KeyValue{Key: []byte(k)})
	}
	for _, k := range valued {
		w.Set = append(w.Set, index.KeyValue{Key: []byte(k), Value: []byte("\x00" + k + "\xff")})
	}
	s.write(t, "a", w)
	for _, k := range valued {
		s.wantValue(t, "a", k, "\x00"+k+"\xff")
	}
	slices.Sort(ordered)
	ordered = slices.Compact(ordered)
	s.wantAll(t, "a", "T", ordered...)
	for i, k := range ordered {
		s.wantScan(t, "a", scan{from: k, to: "U", limit: 2}, ordered[i:min(i+2, len(ordered))]...)
		s.wantScan(t, "a", scan{from: "T", to: k, limit: 2, reverse: true}, reversed(ordered[max(i-2, 0):i])...)
	}
}

// testFamilies has the same rest of a key in several families.
func testFamilies(t *testing.T, open opener) {
	s := open(t)
	s.put(t, "a", "a1=a", "r1=r", "z1=z", "A1", "T1", "Z1", "Z2")
	s.wantValue(t, "a", "a1", "a")
	s.wantValue(t, "a", "r1", "r")
	s.wantValue(t, "a", "z1", "z")
	s.wantValue(t, "a", "b1", "")
	s.wantAll(t, "a", "A", "A1")
	s.wantAll(t, "a", "T", "T1")
	s.wantAll(t, "a", "Z", "Z1", "Z2")
	s.wantAll(t, "a", "B")
	s.remove(t, "a", "r1", "Z1")
	s.wantValue(t, "a", "a1", "a")
	s.wantAll(t, "a", "T", "T1")
	s.wantAll(t, "a", "Z", "Z2")
}

// tenants have names that begin with one another, and sort in each way.
var tenants = []string{"0", "A", "a", "a-", "a-b", "a0", "aA", "a_", "aa", "b", strings.Repeat("a", 64)}

func testTenants(t *testing.T, open opener) {
	s := open(t)
	for _, tenant := range tenants {
		s.put(t, tenant, "r1="+tenant, "T1", "T"+tenant)
	}
	check := func(tenant string) {
		t.Helper()
		s.wantValue(t, tenant, "r1", tenant)
		want := []string{"T1", "T" + tenant}
		slices.Sort(want)
		s.wantAll(t, tenant, "T", want...)
		s.wantScan(t, tenant, scan{from: "T", to: "U", limit: 9, reverse: true}, reversed(want)...)
	}
	for _, tenant := range tenants {
		check(tenant)
	}
	s.remove(t, "a", "r1", "T1", "Ta")
	s.wantValue(t, "a", "r1", "")
	s.wantAll(t, "a", "T")
	s.wantAll(t, "never", "T")
	for _, tenant := range tenants {
		if tenant != "a" {
			check(tenant)
		}
	}
}

func testListTenants(t *testing.T, open opener) {
	s := open(t)
	want := func(want []string) {
		t.Helper()
		got, err := s.Tenants(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("tenants (-want +got):\n%s", diff)
		}
	}
	want(nil)
	for i, tenant := range tenants {
		s.put(t, tenant, []string{"r1=x", "T1"}[i%2]) // either is enough
	}
	sorted := slices.Clone(tenants)
	slices.Sort(sorted)
	want(sorted)
	for i, tenant := range tenants {
		s.put(t, tenant, fmt.Sprintf("r%d=", i))
	}
	want(sorted)
}
