package indextest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	indextest.Run(t, func(*testing.T) func() (index.Store, error) {
		m := indextest.NewMemory()
		return func() (index.Store, error) {
			m = m.Reopen()
			return m, nil
		}
	})
}

func TestMemoryRefusesMisuse(t *testing.T) {
	m := indextest.NewMemory()
	set := func(key, value string) error {
		return m.Update(t.Context(), "a", nil, func(_ [][]byte, w *index.Writes) error {
			w.Set = []index.KeyValue{{Key: []byte(key), Value: []byte(value)}}
			return nil
		})
	}
	scan := func(from, to string) error {
		_, err := m.Scan(t.Context(), "a", index.Range{From: []byte(from), To: []byte(to), Limit: 9})
		return err
	}
	get := func(tenant, key string) error {
		_, err := m.Get(t.Context(), tenant, []byte(key))
		return err
	}
	for what, err := range map[string]error{
		"a value in an ordered family": set("T1", "x"),
		"an empty key":                 set("", "x"),
		"a key of no family":           set("1", "x"),
		"a key too long":               set("r"+string(make([]byte, 1024)), "x"),
		"a scan of a valued family":    scan("r", "s"),
		"a scan of two families":       scan("T", "U1"),
		"a get of an ordered family":   get("a", "T1"),
		"no tenant":                    get("", "r1"),
	} {
		if err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}
