package app

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

// manyTenants is a tenants file.
func manyTenants(n int) string {
	var b bytes.Buffer
	b.WriteString("defaults: {queries_per_second: 100000, max_query_range: 31d}\ntenants:\n")
	for i := range n {
		fmt.Fprintf(&b, "  t%d: {ingest_bytes_per_second: %d, queries_per_second: 100000, max_concurrent_queries: 1000, max_tails: 10}\n", i, 1<<30+i)
	}
	return b.String()
}

// crowded is a daemon with many tenants, and a token of one of them.
func crowded(t testing.TB, tenants int) (d *daemon, token string) {
	t.Helper()
	d = startFile(t, "tenancy: {tenants_file: DIR/tenants.yaml}\n", func(dir string) {
		put(t, filepath.Join(dir, "tenants.yaml"), manyTenants(tenants))
	})
	token, _, err := store.Open(d.dir, time.Now).Issue(tenancy.Grant{Tenant: "t1", Scopes: tenancy.Scopes(), Life: time.Hour}, store.JWT)
	if err != nil {
		t.Fatal(err)
	}
	return d, token
}

// asker sends queries over connections that it keeps.
type asker struct {
	client *http.Client
	url    string
	token  string
}

func newAsker(t testing.TB, d *daemon, token string) asker {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(client.CloseIdleConnections)
	return asker{client, d.HTTP + "/loki/api/v1/labels", token}
}

func (a asker) ask() error {
	req, err := http.NewRequest(http.MethodGet, a.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || string(body) != "tenant t1") {
		err = fmt.Errorf("%d %s", resp.StatusCode, body)
	}
	return err
}

// TestNoRequestFailsDuringReloads has everything read anew, over and over, while
// requests come from several sides.
func TestNoRequestFailsDuringReloads(t *testing.T) {
	const requests, senders = 2000, 8
	d, token := crowded(t, 100)
	a := newAsker(t, d, token)
	var sending, reloading sync.WaitGroup
	var done atomic.Bool
	reloads := 0
	reloading.Go(func() {
		for !done.Load() {
			if reloads++; reloads%2 == 0 {
				d.put("tenants.yaml", manyTenants(100+reloads%7))
			}
			d.reload("test")
		}
	})
	for range senders {
		sending.Go(func() {
			for range requests / senders {
				if err := a.ask(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	sending.Wait()
	done.Store(true)
	reloading.Wait()
	if reloads < 5 {
		t.Errorf("only %d reloads", reloads)
	}
	t.Logf("%d requests during %d reloads", requests, reloads)
}

// BenchmarkReload measures a reload with 10,000 tenants: that of the tenants file, and
// one of something else, such as a revocation.
func BenchmarkReload(b *testing.B) {
	const tenants = 10_000
	d, _ := crowded(b, tenants)
	for _, changed := range []bool{false, true} {
		b.Run(map[bool]string{false: "another file", true: "tenants file"}[changed], func(b *testing.B) {
			b.ReportAllocs()
			texts := []string{manyTenants(tenants), manyTenants(tenants + 1)}
			for i := range b.N {
				if changed {
					b.StopTimer()
					put(b, filepath.Join(d.dir, "tenants.yaml"), texts[i%2])
					b.StartTimer()
				}
				d.reload("benchmark")
				if err := d.state.Load().err; err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
		})
	}
}

// BenchmarkRequestsDuringReloads sends 1000 requests a second, alone and while 10,000
// tenants are read anew twice a second. An operation is a request; -benchtime 5000x is
// five seconds.
func BenchmarkRequestsDuringReloads(b *testing.B) {
	d, token := crowded(b, 10_000)
	a := newAsker(b, d, token)
	for name, pause := range map[string]time.Duration{"alone": 0, "reloading": 500 * time.Millisecond} {
		b.Run(name, func(b *testing.B) {
			stop := make(chan struct{})
			var reloading, sending sync.WaitGroup
			reloads := 0
			if pause > 0 {
				reloading.Go(func() {
					tick := time.NewTicker(pause)
					defer tick.Stop()
					for {
						select {
						case <-tick.C:
							put(b, filepath.Join(d.dir, "tenants.yaml"), manyTenants(10_000+reloads%2))
							d.reload("benchmark")
							reloads++
						case <-stop:
							return
						}
					}
				})
			}
			took := make([]time.Duration, b.N)
			var failed atomic.Int64
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			b.ResetTimer()
			for i := range b.N {
				<-tick.C
				sending.Go(func() {
					begin := time.Now()
					if err := a.ask(); err != nil {
						failed.Add(1)
					}
					took[i] = time.Since(begin)
				})
			}
			sending.Wait()
			b.StopTimer()
			close(stop)
			reloading.Wait()
			slices.SortFunc(took, func(x, y time.Duration) int { return cmp.Compare(x, y) })
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(failed.Load()), "failed")
			b.ReportMetric(float64(reloads), "reloads")
			if n := failed.Load(); n > 0 {
				b.Errorf("%d of %d requests failed", n, b.N)
			}
		})
	}
	if strings.Contains(d.log.String(), "the reload failed") {
		b.Error("a reload failed")
	}
}
