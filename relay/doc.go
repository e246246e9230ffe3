// Package relay is the public API: one table of routes, and what each needs of
// its caller.
//
// A request is matched against [Routes]; then it is found out who sends it, and whether
// the scopes and the tenant's limits allow it; then it is either ingested, or relayed to
// the engine with the caller's tenants as the only ones the engine hears of. What isn't
// in the table doesn't exist.
//
// Handlers return errors; the one adapter in this package writes them, in the
// shape that the API's own clients expect.
package relay
