// Package indextest has what every [index.Store] must do, as a suite that each
// implementation runs ([Run]), and a store in memory that is simple enough to be
// obviously right ([Memory]). Tests of what uses a store use that one: it also
// refuses what the contract of a store forbids its callers.
package indextest
