// Package signal knows the two forms in which requests are stored and reach an
// engine: [Logs] are push.PushRequest messages in snappy's block format, [Traces]
// are OTLP ExportTraceServiceRequest messages. It joins requests, splits them, and
// prints them for people. It imports nothing of ours.
package signal
