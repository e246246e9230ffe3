package relay

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
)

// maxReads is the most tenants that one request may ask an engine for. Each is a query
// of its own to the engine.
const maxReads = 64

// tenantSeparator stands between the tenants of a federated query in X-Scope-OrgID.
// It can't be in a tenant's name.
const tenantSeparator = "|"

type readsKey struct{}

// withReads says which tenants a request is about.
func withReads(ctx context.Context, tenants []string) context.Context {
	return context.WithValue(ctx, readsKey{}, tenants)
}

// readsFrom returns the tenants that a request is about: none if it wasn't admitted.
func readsFrom(ctx context.Context) []string {
	tenants, _ := ctx.Value(readsKey{}).([]string)
	return tenants
}

// orgID is how the engines are told about tenants.
func orgID(tenants []string) string { return strings.Join(tenants, tenantSeparator) }

// reads returns the tenants that a caller reads, sorted.
func (r *Relay) reads(id tenancy.Identity) ([]string, error) {
	tenants := id.Reads
	switch {
	case len(tenants) > 0:
		tenants = slices.Clone(tenants)
		slices.Sort(tenants)
		tenants = slices.Compact(tenants)
	case id.ReadsAll && r.opts.Roster != nil:
		tenants = r.opts.Roster.Tenants()
	case id.Tenant != "":
		tenants = []string{id.Tenant}
	}
	if len(tenants) == 0 {
		return nil, fault.New(fault.Forbidden, "the token names no tenant to read")
	}
	for _, tenant := range tenants {
		if err := validTenant(tenant); err != nil {
			return nil, err
		}
	}
	return tenants, nil
}

// federated returns the tenants of a request that an engine answers for all of them.
func (r *Relay) federated(id tenancy.Identity) ([]string, error) {
	tenants, err := r.reads(id)
	if err == nil && len(tenants) > maxReads {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("the token reads %d tenants, and at most %d can be asked together: use a token that names fewer", len(tenants), maxReads))
	}
	return tenants, err
}

// tenantParam is the parameter of the invocation API that chooses one of the tenants
// that a token reads.
const tenantParam = "tenant"

// chosen returns the one tenant that a request to the invocation API is about.
func (r *Relay) chosen(req *http.Request, id tenancy.Identity) (string, error) {
	tenants, err := r.reads(id)
	if err != nil {
		return "", err
	}
	switch asked := req.URL.Query()[tenantParam]; {
	case len(asked) == 1 && slices.Contains(tenants, asked[0]):
		return asked[0], nil
	case len(asked) > 0:
		return "", fault.New(fault.Invalid, "tenant: want one of "+someOf(tenants))
	case len(tenants) > 1:
		return "", fault.New(fault.Invalid, "the token reads several tenants: choose one with the parameter tenant, of "+someOf(tenants))
	}
	return tenants[0], nil
}

// withoutTenantParam is a request that doesn't choose a tenant any more.
func withoutTenantParam(req *http.Request) *http.Request {
	values := req.URL.Query()
	if !values.Has(tenantParam) {
		return req
	}
	values.Del(tenantParam)
	req = req.Clone(req.Context())
	req.URL.RawQuery = values.Encode()
	return req
}

// someOf lists tenants for people.
func someOf(tenants []string) string {
	if len(tenants) > maxReads {
		return strings.Join(tenants[:maxReads], ", ") + ", …"
	}
	return strings.Join(tenants, ", ")
}

// writes returns an error unless the identity says whose data it writes. The tenant
// is one of the roster from then on.
func (r *Relay) writes(ctx context.Context, id tenancy.Identity) error {
	if id.Tenant == "" {
		return fault.New(fault.Forbidden, "the token names no tenant to write to")
	}
	if err := validTenant(id.Tenant); err != nil {
		return err
	}
	if r.opts.Roster == nil {
		return nil
	}
	if err := r.opts.Roster.Seen(id.Tenant); err != nil {
		r.opts.Log.WarnContext(ctx, "a tenant may be missing in the roster after a restart", "tenant", id.Tenant, "err", err)
	}
	return nil
}

// validTenant holds what the authenticator has made sure of: a name that says "a|b"
// would be two tenants to an engine.
func validTenant(tenant string) error {
	if err := tenancy.ValidTenant(tenant); err != nil {
		return &fault.Error{Kind: fault.Forbidden, Message: "the token names a tenant that can't be", Cause: err}
	}
	return nil
}
