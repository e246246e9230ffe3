package index_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/correlate/index"
)

const oneID = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"

// serverLine is a line of restate-server about one invocation.
func serverLine(second, message string) string {
	return `{"timestamp":"2026-11-23T03:14:` + second + `.116960Z","level":"DEBUG","fields":{"message":"` + message +
		`"},"target":"restate_worker::partition::state_machine","span":{"restate.invocation.id":"` + oneID + `"}}`
}

func outcomeOf(t *testing.T, lines ...string) index.Record {
	t.Helper()
	x := newIndex(t)
	applyLines(t, x, encodeLines(t, lines))
	r, err := x.Get(context.Background(), tenant, parseID(t, oneID))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestARefusedRequestIsNoResult sees that a second request for a workflow, which is
// refused, doesn't end it.
func TestARefusedRequestIsNoResult(t *testing.T) {
	for _, failure := range []string{
		"[409 Aborted] the workflow method was already invoked",
		"[400 Bad Request] attach not supported for this invocation. You can attach only to invocations created with an idempotency key, or for workflow methods.",
		"[470 Not Ready] the response is not ready yet",
	} {
		r := outcomeOf(t,
			serverLine("01", "First time we see this invocation id, invocation will be processed"),
			serverLine("02", "Invoke"),
			serverLine("03", "Send response to ingress with request id '01M8': Failure("+failure+")"),
		)
		if r.Outcome() != index.Running || r.Failure.Value != (index.Failure{}) {
			t.Errorf("after %s: %s, %+v", failure, r.Outcome(), r.Failure.Value)
		}
	}
}

// TestServicesMaySayWhatRestateSays sees that a record in JSON that isn't Restate's
// tells nothing but that the invocation was seen.
func TestServicesMaySayWhatRestateSays(t *testing.T) {
	for _, message := range []string{"Invoke payment", "Paused the invocation", "Effect: Store completed invocation"} {
		r := outcomeOf(t, `{"timestamp":"2026-11-23T03:14:07.116960Z","level":"info","message":"`+message+`","restate.invocation.id":"`+oneID+`"}`)
		if r.Outcome() != index.Unknown {
			t.Errorf("%q of a service: %s", message, r.Outcome())
		}
	}
}

// TestTimesThatNoNumberHolds sees that an entry of such a time tells nothing.
func TestTimesThatNoNumberHolds(t *testing.T) {
	line := serverLine("02", "Invoke")
	for _, seconds := range []int64{-1, math.MinInt64, math.MaxInt64, math.MaxInt64 / int64(1e9), math.MaxInt64/int64(1e9)*2 + 5e9} {
		message := func(number protowire.Number, content []byte) []byte {
			return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
		}
		at := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(seconds))
		pair := append(message(1, []byte("restate_invocation_id")), message(2, []byte(oneID))...)
		entry := append(append(message(1, at), message(2, []byte(line))...), message(3, pair)...)
		x := newIndex(t)
		applyLines(t, x, message(1, message(2, entry)))
		if _, err := x.Get(context.Background(), tenant, parseID(t, oneID)); !errors.Is(err, index.ErrNotFound) {
			t.Errorf("%d seconds: %v", seconds, err)
		}
	}
}

// TestCallersAreOfTheirRun sees that whoever called an earlier run, or called when a run
// was there already, isn't said to have called the latest one.
func TestCallersAreOfTheirRun(t *testing.T) {
	const callerID = "inv_1hSYOOxaFdzi2FUGCwiD5OL86PLDRF5CUF"
	called := func(second string) string {
		return `{"timestamp":"2026-11-23T03:14:` + second + `.116960Z","level":"DEBUG","fields":{"message":"Effect: Send service invocation to partition processor","restate.invocation.id":"` + oneID +
			`"},"target":"restate_worker::partition::state_machine","span":{"restate.invocation.id":"` + callerID + `"}}`
	}
	const begun = "First time we see this invocation id, invocation will be processed"
	requested := serverLine("00", "Processing invocation request")
	for name, c := range map[string]struct {
		lines  []string
		caller string
		origin index.Origin
	}{
		"called":          {[]string{called("01"), serverLine("01", begun)}, callerID, index.OriginUnknown},
		"called later":    {[]string{serverLine("01", begun), called("31")}, "", index.OriginUnknown},
		"called before":   {[]string{called("01"), serverLine("01", begun), serverLine("51", begun)}, "", index.OriginUnknown},
		"requested":       {[]string{requested, serverLine("01", begun)}, "", index.Ingress},
		"requested once":  {[]string{requested, serverLine("01", begun), serverLine("51", begun)}, "", index.OriginUnknown},
		"a line was lost": {[]string{called("01")}, callerID, index.OriginUnknown},
	} {
		x := newIndex(t)
		applyLines(t, x, encodeLines(t, c.lines))
		r, err := x.Get(context.Background(), tenant, parseID(t, oneID))
		if err != nil {
			t.Fatal(err)
		}
		rel, err := x.Relations(context.Background(), tenant, &r, 10)
		if err != nil {
			t.Fatal(err)
		}
		caller := ""
		if rel.Caller != nil {
			caller = rel.Caller.String()
		}
		if caller != c.caller || rel.Origin != c.origin {
			t.Errorf("%s: caller %q, origin %s", name, caller, rel.Origin)
		}
	}
}
