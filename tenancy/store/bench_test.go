package store

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

const many = 10_000

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, c := newStore(b)
	for i := range many {
		kind := JWT
		if i%2 == 0 {
			kind = API
		}
		t := newToken(grant(func(g *tenancy.Grant) { g.Subject = fmt.Sprintf("subject %d", i) }), kind, c.now())
		t.ID, t.KeyID = fmt.Sprintf("ABCDEFGHIJKLMNOPQRST%06d", i), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
		r := recordOf(&t)
		r.SHA256 = fmt.Sprintf("%064x", i)
		content, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			b.Fatal(err)
		}
		writeFile(b, s.recordFile(t.ID), string(content))
	}
	all := make([]Revocation, many)
	for i := range all {
		all[i] = Revocation{
			Revocation: tenancy.Revocation{TokenID: fmt.Sprintf("ABCDEFGHIJKLMNOPQRST%06d", i), Issuer: tenancy.OwnIssuer},
			Revoked:    c.now(), Why: "the laptop was lost", Until: c.now().Add(tenancy.DefaultLife),
		}
	}
	if err := s.writeRevocations(all); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkLoad is what a start, and then each change, costs with 10,000 tokens and as
// many revocations.
func BenchmarkLoad(b *testing.B) {
	s := benchStore(b)
	tokens := func(b *testing.B, s *Store) {
		got, err := s.APITokens()
		if err != nil || len(got) != many/2 {
			b.Fatalf("%d tokens, %v", len(got), err)
		}
	}
	b.Run("tokens/first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tokens(b, Open(s.dir, s.now))
		}
	})
	b.Run("tokens/again", func(b *testing.B) {
		b.ReportAllocs()
		tokens(b, s)
		for b.Loop() {
			tokens(b, s)
		}
	})
	b.Run("revocations", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if got, err := s.Revocations(); err != nil || len(got) != many {
				b.Fatalf("%d revocations, %v", len(got), err)
			}
		}
	})
}

// BenchmarkChange is what a change costs beside as many others.
func BenchmarkChange(b *testing.B) {
	s := benchStore(b)
	b.Run("issue", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			issue(b, s, API, nil)
		}
	})
	b.Run("revoke", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n++
			added, err := s.Revoke(tenancy.Revocation{TokenID: fmt.Sprint("x", n)}, "", time.Time{})
			if err != nil || !added {
				b.Fatal(added, err)
			}
		}
	})
}
