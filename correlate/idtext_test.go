package correlate

import (
	"math/rand/v2"
	"testing"
)

func TestIDsAreSpelledAsTheyWereRead(t *testing.T) {
	for _, inv := range groundTruth(t).Invocations {
		id, err := ParseInvocationID(inv.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "spelled", id.String(), inv.ID)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		id := InvocationID{PartitionKey: rnd.Uint64() >> rnd.IntN(64)}
		for i := range rnd.IntN(17) {
			id.UUID[i] = byte(rnd.Uint32())
		}
		got, err := ParseInvocationID(id.String())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, id.String(), got, id)
	}
}
