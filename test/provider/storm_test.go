//go:build integration

package provider

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Strangers who make up keys get nothing, and cause one fetch between them, while who has
// a token is served.
func TestDaemonUnderMadeUpKeys(t *testing.T) {
	const (
		strangers = 16
		requests  = 100 // of each
	)
	p := startProvider(t)
	d := startDaemon(t, p, time.Hour)
	good := p.token()
	d.accepts("a token", good)
	parts := strings.SplitN(good, ".", 2)
	start := time.Now()
	var all sync.WaitGroup
	for s := range strangers {
		all.Go(func() {
			for n := range requests {
				header := fmt.Sprintf(`{"alg":"RS256","typ":"JWT","kid":"../../keys/%d/%d"}`, s, n)
				forged := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1]
				if status, body := d.query(forged); status != http.StatusUnauthorized {
					t.Errorf("a made-up key: status %d: %s", status, body)
				}
			}
		})
	}
	for range requests {
		d.accepts("a token, meanwhile", good)
	}
	all.Wait()
	_, metrics := d.call("", d.Admin+"/metrics", "")
	counts := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^invoscope_keyset_refreshes_total\{.*result="(\w+)".*\} (\d+)$`).FindAllStringSubmatch(metrics, -1) {
		counts[m[1]] = m[2]
	}
	// The first, and one for made-up keys each 30 seconds.
	most := 2 + int(time.Since(start)/(30*time.Second))
	if n, err := strconv.Atoi(counts["ok"]); err != nil || counts["failed"] != "0" || n < 2 || n > most {
		t.Errorf("fetches by result: %v, want %d", counts, most)
	}
}
