package tenancy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What a stranger can send must not cost much more than its bytes. What is signed by
// somebody whom we know may cost more, as each claim that we look for is.
func TestCostlyTokens(t *testing.T) {
	key, c := openTestKey(t), newClock()
	a := ownAuthenticator(key, c.now)
	good := string(decodeRaw(t, strings.Split(signed(t, key, c.now, func(*claims) {}), ".")[1]))
	payload := func(more string) string { return "{" + more + good[1:] }
	for name, token := range costlyTokens(t, payload) {
		parts := strings.Split(token, ".")
		ours := token
		if len(parts) == 3 && parts[0] != "" {
			ours = mint(t, "EdDSA", key.private, string(decodeRaw(t, parts[0])), string(decodeRaw(t, parts[1])))
		}
		for token, limit := range map[string]uint64{token: 300 << 10, ours: 4 << 20} {
			const runs = 20
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				_, _ = a.policy.Load().verifyJWT(token, c.now())
			}
			runtime.ReadMemStats(&after)
			if size := (after.TotalAlloc - before.TotalAlloc) / runs; size > limit {
				t.Errorf("%s: %d bytes, want at most %d", name, size, limit)
			}
		}
		_, err := a.Authenticate(bearer(token))
		if err == nil {
			t.Errorf("%s: a stranger's was accepted", name)
		}
		if _, err := a.Authenticate(bearer(ours)); err != nil && ReasonOf(err) != Malformed {
			t.Errorf("%s: ours: %v", name, err)
		}
	}
}

// manyClaims is the beginning of an object with n members.
func manyClaims(n int) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		fmt.Fprintf(&b, `"claim%d":%d,`, i, i)
	}
	return b.String()
}

// BenchmarkRefuse is what a stranger makes us do, with what can be sent at most.
func BenchmarkRefuse(b *testing.B) {
	key := openTestKey(b)
	a := ownAuthenticator(key, time.Now)
	payload := func(more string) string { return `{` + more + `"iss":"invoscope"}` }
	for name, token := range costlyTokens(b, payload) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(bearer(token)); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

// costlyTokens are as long as a token may be, but for the first, and signed by a stranger.
func costlyTokens(tb testing.TB, payload func(more string) string) map[string]string {
	tb.Helper()
	stranger := openTestKey(tb)
	sign := func(header, more string) string {
		token := mint(tb, "EdDSA", stranger.private, header, payload(more))
		if len(token) > maxToken {
			tb.Fatalf("a token of %d bytes is refused before anything is read", len(token))
		}
		return token
	}
	const header = `{"alg":"EdDSA"}`
	members := func(n int) string { return strings.Repeat(`"":0,`, n) }
	return map[string]string{
		"small":         sign(header, ""),
		"2,400 claims":  sign(header, members(2400)),
		"deep":          sign(header, `"a":`+strings.Repeat("[", 290)+strings.Repeat("]", 290)+","),
		"deeper":        sign(header, `"a":`+strings.Repeat("[", 6000)+strings.Repeat("]", 6000)+","),
		"array":         sign(header, `"a":[`+strings.Repeat("0,", 6000)+`0],`),
		"text":          sign(header, `"a":"`+strings.Repeat("a", 12_000)+`",`),
		"escapes":       sign(header, `"a":"`+strings.Repeat(`\u0061`, 2000)+`",`),
		"number":        sign(header, `"exp":1`+strings.Repeat("0", 12_000)+`,`),
		"large header":  sign(`{`+members(2400)+header[1:], ""),
		"no dots":       strings.Repeat("A", maxToken),
		"only dots":     strings.Repeat(".", maxToken),
		"names escaped": sign(header, strings.Repeat(`"\u0061":0,`, 1000)),
	}
}
