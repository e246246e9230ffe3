package index

import (
	"context"
	"math"
	"sync"
)

// sinceFor is how long the earliest invocation is remembered. It costs a read for
// each outcome, and changes by what is forgotten, which is as seldom.
const sinceFor = maintainEvery

// sinceCache holds when the earliest invocations were first seen, by tenant.
type sinceCache struct {
	mu      sync.Mutex
	answers map[string]sinceAnswer
}

type sinceAnswer struct{ since, until int64 } // in nanoseconds since 1970

// Since returns from when on the index knows all there was of a tenant, in nanoseconds
// since 1970, or [math.MaxInt64] if it knows nothing. That is since its earliest
// invocation was first seen, before which it wasn't there or has forgotten, and since a
// request was missed. It is a guess: an earlier invocation may have gone on until then.
func (x *Index) Since(ctx context.Context, tenant string) (int64, error) {
	since, err := x.earliest(ctx, tenant)
	return max(since, x.missedAt.Load()), err
}

// earliest is when the earliest invocation of a tenant was first seen.
func (x *Index) earliest(ctx context.Context, tenant string) (int64, error) {
	now := x.opts.Now().UnixNano()
	x.since.mu.Lock()
	answer, ok := x.since.answers[tenant]
	x.since.mu.Unlock()
	if ok && now < answer.until {
		return answer.since, nil
	}
	since, err := x.oldest(ctx, []string{tenant}, 0)
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
