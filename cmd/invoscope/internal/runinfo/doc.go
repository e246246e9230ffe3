// Package runinfo is run.json in the data directory: where the running daemon
// can be reached, for scripts and for the other subcommands.
//
// `invoscope serve` writes the file once it is ready and removes it when it
// stops. After a crash a stale file stays, so a reader learns where the daemon
// was last, not that it runs. The file holds no secret.
//
// The package imports no other package of this module.
package runinfo
