package tenancy

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"
)

const (
	// A cache holds cacheSets * cacheWays tokens, each a few hundred bytes. With the tokens
	// of 10,000 tenants one set in a thousand is full; with half the sets it is one in
	// twenty, and the signatures checked again cost more than all else.
	cacheSets = 4096
	cacheWays = 8
)

// cache remembers verified tokens by their SHA-256, so that it holds none that could be
// used. Refused ones are not kept: strangers could fill it.
//
// It takes no locks, for every request reads it. A token's hash says in which of many
// small sets it is; a full set loses the one not used for longest. Those who can't
// choose hashes, as nobody can who can't sign tokens, can't choose whom they push out.
type cache struct {
	sets [cacheSets][cacheWays]atomic.Pointer[remembered]
}

type remembered struct {
	sum  [sha256.Size]byte
	used atomic.Int64 // seconds since 1970
	*verified
}

func (c *cache) set(sum *[sha256.Size]byte) *[cacheWays]atomic.Pointer[remembered] {
	return &c.sets[binary.BigEndian.Uint32(sum[:])%cacheSets]
}

// get returns what is known of a token, or nil if it must be verified (again).
func (c *cache) get(sum *[sha256.Size]byte, now time.Time) *verified {
	set := c.set(sum)
	for i := range set {
		r := set[i].Load()
		if r == nil || r.sum != *sum {
			continue
		}
		if r.stale(now) {
			return nil
		}
		// Written once a second at most: a write takes the line away from other cores.
		if second := now.Unix(); r.used.Load() != second {
			r.used.Store(second)
		}
		return r.verified
	}
	return nil
}

// add remembers a token in place of an older entry of its own, of nothing, of one that is
// stale, or of the one not used for longest.
func (c *cache) add(sum *[sha256.Size]byte, v *verified, now time.Time) {
	r := &remembered{sum: *sum, verified: v}
	r.used.Store(now.Unix())
	set := c.set(sum)
	// Among those used in the same second any may go.
	first := int(sum[sha256.Size-1]) % cacheWays
	victim, victimUsed := first, int64(1<<62)
	for i := range cacheWays {
		at := (first + i) % cacheWays
		old := set[at].Load()
		switch {
		case old == nil || old.stale(now):
			if victimUsed > 0 {
				victim, victimUsed = at, 0
			}
		case old.sum == *sum:
			victim, victimUsed = at, -1
		case old.used.Load() < victimUsed:
			victim, victimUsed = at, old.used.Load()
		}
	}
	set[victim].Store(r)
}
