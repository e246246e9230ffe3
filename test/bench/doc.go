// Command bench measures what ingest costs: Invoscope with its durable queue,
// beside the real engines fed directly and an OpenTelemetry Collector that does
// the same work. `make bench-ingest` runs it; everything it compares it measures
// in one run, on one machine.
//
// Each case starts its contender anew, in an empty directory. A load generator
// (this program again) sends requests that were encoded beforehand over a fixed
// number of connections, each waiting for its acknowledgement, and a stub engine
// (this program a third time) reads what is delivered and throws it away. CPU time
// is that of the contender's process alone, until everything is delivered; the
// other two share the machine's cores with it, so rates are those of the whole.
//
// With -stall it measures instead how long the lines of healthy tenants take to
// the engine while the engine stalls another tenant.
//
// With -lookup it measures the published query for an invocation, through the relay
// beside Tempo itself.
//
// It sees the contenders as a user does, through flags, files and ports, needs
// Linux's /proc, and must not import another package of this module.
package main
