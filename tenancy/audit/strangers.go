package audit

import (
	"net/http"
	"time"
)

// Requests that aren't let in cost their sender nothing. These bound their lines:
// at most a tenth of a gigabyte a day, which a log of the default size holds for
// days, and bursts of a size that a scanner's first questions fit in.
const (
	strangersPerSecond = 5
	strangersAtOnce    = 200
)

// stranger reports whether nobody knows whose request it was, or it was refused for the
// credential that says so: one that has expired or was taken back can be with anybody.
func stranger(r *Record) bool {
	id := &r.Identity
	if r.Phase == Whole && (r.Status == http.StatusUnauthorized || r.Code == "Unauthenticated") {
		return true
	}
	return id.Tenant == "" && id.Subject == "" && id.TokenID == "" && id.Issuer == "" && len(id.Reads) == 0 && !id.ReadsAll
}

// bucket is a token bucket.
type bucket struct {
	level  float64
	filled time.Time
	left   uint64 // how many were refused since the last that was not
}

func newBucket(now time.Time) bucket { return bucket{level: strangersAtOnce, filled: now} }

// take lets one pass, and says how many it hasn't before.
func (b *bucket) take(now time.Time) (left uint64, let bool) {
	if passed := now.Sub(b.filled); passed > 0 {
		b.level = min(b.level+passed.Seconds()*strangersPerSecond, strangersAtOnce)
		b.filled = now
	} else if passed < 0 { // the clock was set back
		b.filled = now
	}
	if b.level < 1 {
		b.left++
		return 0, false
	}
	b.level--
	left, b.left = b.left, 0
	return left, true
}
