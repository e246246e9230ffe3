// Package senders holds the tests in which other people's programs send to a
// built Invoscope: the OpenTelemetry Collector's OTLP exporters, telemetrygen and
// loki-canary. (A Restate server sends in test/e2e.) What a sender counts as sent
// has to be found afterwards, once, also when the daemon ended meanwhile, in an
// orderly way or not.
//
// They need the binaries in bin, so they carry the build tag "integration":
//
//	make build engines senders
//	go test -tags integration ./test/senders/
package senders
