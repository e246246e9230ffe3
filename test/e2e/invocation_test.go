//go:build integration

package e2e

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/invoscope/invoscope/test/harness"
)

// invocation is what Restate itself knows of one invocation, and what to expect
// of its target.
type invocation struct {
	ID       string `json:"id"`
	Target   string `json:"target"`
	CallerID string `json:"invoked_by_id"` // empty when it came through the ingress
	Status   string `json:"status"`
	Result   string `json:"completion_result"`

	expected expectation
	traceID  string
}

// expectation is what a target's handler in test/restate makes Restate do.
type expectation struct {
	input  string // of the ingress request, as JSON; empty for callees
	status int    // of the ingress response
	spans  string // the kinds of its own spans, sorted; "failed" is status ERROR
	caller string // target of the caller
	oneWay bool   // sent rather than called
}

// expectations has each target once, so that a target names an invocation.
var expectations = map[string]expectation{
	"Greeter/greet":  {input: `"Ada"`, status: http.StatusOK, spans: "attempt, end, ingress, start"},
	"Greeter/nested": {input: `"Ada"`, status: http.StatusOK, spans: "attempt, end, ingress, start"},
	"Greeter/later":  {input: `"Ada"`, status: http.StatusOK, spans: "attempt, end, ingress, start"},
	"Greeter/flaky": {
		input: `"Ada"`, status: http.StatusOK,
		spans: "attempt, attempt failed, attempt failed, end, ingress, start",
	},
	"Greeter/reject": {
		input: `"Ada"`, status: http.StatusInternalServerError,
		spans: "attempt, end failed, ingress, start",
	},
	"Counter/direct/add": {input: `2`, status: http.StatusOK, spans: "attempt, end, ingress, start"},
	"Counter/nested/add": {caller: "Greeter/nested", spans: "attempt, end, start"},
	"Mailer/deliver":     {caller: "Greeter/later", oneWay: true, spans: "attempt, end, start"},
}

// drive invokes every target through the ingress, each under a trace of its own,
// waits until all is completed, and returns Restate's own account by target.
func drive(t *testing.T, server *restateServer) map[string]invocation {
	t.Helper()
	clientTraces := map[string]string{}
	for target, want := range expectations {
		if want.input == "" {
			continue
		}
		trace := fmt.Sprintf("%016x%016x", rand.Uint64()|1, rand.Uint64())
		header := http.Header{"Traceparent": {fmt.Sprintf("00-%s-%016x-01", trace, rand.Uint64()|1)}}
		status, body, err := server.post(t.Context(), server.ingress+"/"+target, want.input, header)
		if err != nil || status != want.status {
			t.Fatalf("invoke %s: status %d, want %d: %s (%v)", target, status, want.status, body, err)
		}
		clientTraces[target] = trace
	}

	var invocations map[string]invocation
	harness.Poll(t, 30*time.Second, "all invocations completed", func() (err error) {
		invocations, err = server.invocations(t.Context())
		return err
	})
	for target, in := range invocations {
		switch {
		case in.CallerID == "":
			in.traceID = clientTraces[target]
		case in.expected.oneWay:
			in.traceID = uuidOf(t, in.ID)
		default:
			in.traceID = clientTraces[in.expected.caller]
		}
		invocations[target] = in
	}
	return invocations
}

// uuidOf decodes the UUID in an invocation id: 22 base62 digits, whose number's
// little-endian bytes are the UUID.
func uuidOf(t *testing.T, id string) string {
	t.Helper()
	number, ok := new(big.Int).SetString(id[len(id)-22:], 62)
	if !ok || number.BitLen() > 128 {
		t.Fatalf("invocation id %q has no UUID", id)
	}
	uuid := number.FillBytes(make([]byte, 16))
	slices.Reverse(uuid)
	return hex.EncodeToString(uuid)
}

// invocationID is the shape of an id in free text.
var invocationID = regexp.MustCompile(`inv_1[0-9A-Za-z]{33}`)

// currentID is the invocation that a line of Restate's JSON log belongs to: that
// of its span, else of the innermost span around, else of its fields, else the
// first in its text.
func currentID(line string) string {
	type attributes struct {
		ID string `json:"restate.invocation.id"`
	}
	var entry struct {
		Fields attributes   `json:"fields"`
		Span   attributes   `json:"span"`
		Spans  []attributes `json:"spans"`
	}
	if json.Unmarshal([]byte(line), &entry) == nil {
		slices.Reverse(entry.Spans)
		for _, place := range slices.Concat([]attributes{entry.Span}, entry.Spans, []attributes{entry.Fields}) {
			if place.ID != "" {
				return place.ID
			}
		}
	}
	return invocationID.FindString(line)
}
