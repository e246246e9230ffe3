package ship

import "time"

// A relay that fails now and then, such as one that is full, is worth one message
// in a while and not one for each request.
const (
	quietAfter = time.Minute      // how long after an outage the next one is reported at once
	longOutage = 10 * time.Second // how long one must last to be reported before that
)

// outage keeps a relay's absence from being reported more than once.
type outage struct {
	since    time.Time // of the first failure in a row, zero when the relay answers
	reported bool
	last     time.Time // when the last reported one ended
}

// begins takes note of a failure at now, and tells whether to report it.
func (o *outage) begins(now time.Time) bool {
	if o.since.IsZero() {
		o.since = now
	}
	if o.reported || now.Sub(o.last) < quietAfter && now.Sub(o.since) < longOutage {
		return false
	}
	o.reported = true
	return true
}

// ends takes note of a success at now, and tells whether it ends a reported
// outage, and how long that was.
func (o *outage) ends(now time.Time) (took time.Duration, report bool) {
	took, report = now.Sub(o.since), o.reported
	if report {
		o.last = now
	}
	o.since, o.reported = time.Time{}, false
	return took, report
}
