package engine

import (
	"context"
	"fmt"
	"maps"
	"net/http"
)

// TenantHeader is the header, and in lower case the gRPC metadata key, by which both
// engines learn the tenant.
const TenantHeader = "X-Scope-OrgID"

// Get asks an engine's query API for what is at target, a path and a query, as a
// tenant. The caller closes the answer's body, and judges its status.
func Get(ctx context.Context, e http.RoundTripper, tenant, target string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+target, nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	maps.Copy(req.Header, header)
	req.Header.Set(TenantHeader, tenant)
	resp, err := e.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("ask an engine: %w", err)
	}
	return resp, nil
}
