// Package relay is the public API: one table of routes, and what each needs of
// its caller.
//
// A request is matched against [Routes], its token verified, its scope checked;
// then it is either ingested or relayed to the engine with the token's tenant as
// the only tenant the engine hears of. What isn't in the table doesn't exist.
//
// Handlers return errors; the one adapter in this package writes them, in the
// shape that the API's own clients expect.
package relay
