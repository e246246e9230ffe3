package index

import (
	"context"
	"math"
	"sync"
)

// sinceFor is how long an answer of [Index.Since] is good for. It costs a read for
// each outcome, and changes by what is forgotten, which is as seldom.
const sinceFor = maintainEvery

// sinceCache holds what [Index.Since] answered, by tenant.
type sinceCache struct {
	mu      sync.Mutex
	answers map[string]sinceAnswer
}

type sinceAnswer struct{ since, until int64 } // in nanoseconds since 1970

// Since returns when the earliest invocation of a tenant that is known was first
// seen, in nanoseconds since 1970, or [math.MaxInt64] if none is. Of the time before,
// the index can't say what there was: it had not been there, or has forgotten.
func (x *Index) Since(ctx context.Context, tenant string) (int64, error) {
	now := x.opts.Now().UnixNano()
	x.since.mu.Lock()
	answer, ok := x.since.answers[tenant]
	x.since.mu.Unlock()
	if ok && now < answer.until {
		return answer.since, nil
	}
	since, err := x.oldest(ctx, []string{tenant})
	if err != nil || since == math.MaxInt64 {
		return since, err // nor are tenants kept that only ask
	}
	x.since.mu.Lock()
	defer x.since.mu.Unlock()
	if x.since.answers == nil {
		x.since.answers = map[string]sinceAnswer{}
	}
	x.since.answers[tenant] = sinceAnswer{since, now + int64(sinceFor)}
	return since, nil
}
