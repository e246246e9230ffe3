package relay

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/limits"
)

// Every query of the table goes to its engine in the name of the token's tenants, and
// of nobody else, whatever the client says.
func TestQueriesAreAskedForTheTokensTenants(t *testing.T) {
	f, _ := limitedFixture(t, limits.Set{}, nil)
	for token, want := range map[string]string{"good": "acme", "several": "acme|globex", "both": "acme|initech", "all": "acme|globex|initech"} {
		for _, route := range Routes() {
			e := &f.loki
			switch route.Scope {
			case tenancy.LogsRead:
			case tenancy.TracesRead:
				e = &f.tempo
			default:
				continue
			}
			for method := range strings.FieldsSeq(route.Methods) {
				req := request(route, method, token)
				req.Header["X-Scope-Orgid"] = []string{"evil", "evil|initech"} // as net/http spells it, however it came
				req.Header.Set("Connection", "X-Scope-OrgID")
				if resp := f.do(req); resp.StatusCode != http.StatusOK {
					t.Fatalf("%s %s: %s", method, route.Pattern, resp.Status)
				}
				if got := e.last().Header.Values("X-Scope-OrgID"); len(got) != 1 || got[0] != want {
					t.Errorf("%s: %s %s: asked for %q, want %q", token, method, route.Pattern, got, want)
				}
			}
		}
	}
}

// A name that would be two tenants to an engine gets to none, should it ever pass for
// a tenant's.
func TestNoTenantIsTwo(t *testing.T) {
	f, _ := limitedFixture(t, limits.Set{}, nil)
	for _, token := range []string{"forged", "forged2", "nobody"} {
		for _, route := range Routes() {
			if route.Scope == "" || route.Free && route.Scope == tenancy.InvocationsRead {
				continue
			}
			method, _, _ := strings.Cut(route.Methods, " ")
			resp := f.do(request(route, method, token))
			if got := resp.Header.Get("Grpc-Status"); resp.StatusCode != http.StatusForbidden && got != "7" {
				t.Errorf("%s: %s: %s %s", token, route.Pattern, resp.Status, got)
			}
		}
	}
	if f.loki.last() != nil || f.tempo.last() != nil {
		t.Error("an engine was asked")
	}
}

func TestTooManyTenantsAtOnce(t *testing.T) {
	many := &roster{}
	for i := range maxReads + 1 {
		many.all = append(many.all, fmt.Sprintf("t%03d", i))
	}
	f, _ := limitedFixture(t, limits.Set{}, func(o *Options) { o.Roster = many })
	resp, body := f.ask("GET", "/loki/api/v1/labels", "all", "")
	if resp.StatusCode != http.StatusBadRequest || body != "the token reads 65 tenants, and at most 64 can be asked together: use a token that names fewer\n" {
		t.Errorf("%s %q", resp.Status, body)
	}
	if resp, body := f.ask("GET", "/api/invoscope/v1/invocations?tenant=t064", "all", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("one of them: %s %q", resp.Status, body)
	}
	resp, body = f.ask("GET", "/api/invoscope/v1/invocations", "all", "")
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "t000, t001") || strings.Contains(body, "t064") {
		t.Errorf("%s %q", resp.Status, body)
	}
	many.all = many.all[:maxReads]
	if resp, body := f.ask("GET", "/loki/api/v1/labels", "all", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("%s %q", resp.Status, body)
	}
}

// asked is an index that knows one invocation of each tenant's and who asked for it.
func askedIndex(asked *[]string) Index {
	return &fakeIndex{get: func(_ context.Context, tenant string, _ correlate.InvocationID) (index.Record, error) {
		*asked = append(*asked, tenant)
		return index.Record{}, index.ErrNotFound
	}}
}

func TestTheInvocationAPIIsAskedForOneTenant(t *testing.T) {
	for name, c := range map[string]struct {
		token, query string
		asked, says  string // the tenant, or the refusal
	}{
		"its own":          {"good", "", "acme", ""},
		"its own, named":   {"good", "?tenant=acme", "acme", ""},
		"another's":        {"good", "?tenant=globex", "", "tenant: want one of acme"},
		"one of several":   {"several", "?tenant=globex", "globex", ""},
		"none of several":  {"several", "", "", "the token reads several tenants: choose one with the parameter tenant, of acme, globex"},
		"not one of them":  {"several", "?tenant=initech", "", "tenant: want one of acme, globex"},
		"empty":            {"several", "?tenant=", "", "tenant: want one of acme, globex"},
		"two of them":      {"several", "?tenant=acme&tenant=globex", "", "tenant: want one of acme, globex"},
		"joined":           {"several", "?tenant=acme%7Cglobex", "", "tenant: want one of acme, globex"},
		"one of all":       {"all", "?tenant=initech", "initech", ""},
		"one that isn't":   {"all", "?tenant=hooli", "", "tenant: want one of acme, globex, initech"},
		"unknown elsewise": {"several", "?tenant=acme&tenent=globex", "", `unknown parameter \"tenent\" (there are none)`},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			f, _ := limitedFixture(t, limits.Set{}, func(o *Options) { o.Index = askedIndex(&asked) })
			resp, body := f.ask("GET", "/api/invoscope/v1/invocations/"+knownID+c.query, c.token, "")
			switch {
			case c.asked != "" && (resp.StatusCode != http.StatusNotFound || len(asked) != 1 || asked[0] != c.asked):
				t.Errorf("%s %s: asked for %q", resp.Status, body, asked)
			case c.asked == "" && (resp.StatusCode != http.StatusBadRequest || len(asked) > 0):
				t.Errorf("%s %s: asked for %q", resp.Status, body, asked)
			case name != "unknown elsewise" && !strings.Contains(body, c.says):
				t.Errorf("says %s, want %s", body, c.says)
			}
		})
	}
}

// The index isn't asked for several tenants, whose searches go as they are.
func TestSearchesOfSeveralTenantsAreNotNarrowed(t *testing.T) {
	var asked []string
	f, _ := limitedFixture(t, limits.Set{}, func(o *Options) { o.Index = askedIndex(&asked) })
	target := "/api/search?q=" + url.QueryEscape(knownQuery)
	if resp, body := f.ask("GET", target, "several", ""); resp.StatusCode != http.StatusOK || resp.Header.Get(lookupHeader) != "" {
		t.Errorf("%s %v %s", resp.Status, resp.Header, body)
	}
	if len(asked) > 0 {
		t.Errorf("the index was asked for %q", asked)
	}
	if _, _ = f.ask("GET", target, "good", ""); len(asked) != 1 {
		t.Errorf("the index was asked for %q", asked)
	}
}

// What several tenants are asked together counts on an account of its own, with the
// strictest of their limits.
func TestSeveralTenantsLimits(t *testing.T) {
	f, _ := limitedFixture(t, limits.Set{Tenants: map[string]limits.Limits{
		"acme":   {QueriesPerSecond: 3, MaxQueryRange: 24 * time.Hour},
		"globex": {QueriesPerSecond: 1, MaxQueryRange: 48 * time.Hour},
	}}, func(o *Options) { o.Now = func() time.Time { return time.Unix(1_000_000, 0) } })
	if resp, body := f.ask("GET", "/loki/api/v1/query_range?since=25h", "several", ""); resp.StatusCode != http.StatusBadRequest || body != "the query time range exceeds the limit (query length: 25h0m0s, limit: 1d)\n" {
		t.Errorf("%s %q", resp.Status, body)
	}
	if resp, body := f.ask("GET", "/loki/api/v1/labels", "several", ""); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%s %q", resp.Status, body)
	}
	if resp, body := f.ask("GET", "/loki/api/v1/labels", "other", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("it used up what is a tenant's own: %s %q", resp.Status, body)
	}
}
