package correlate

// The structured metadata of log entries that tells what their lines say; queries and
// provisioning depend on these names.
const (
	MetaInvocationID = "restate_invocation_id"
	MetaRelated      = "restate_related_invocation_ids" // separated by commas
	MetaTarget       = "restate_invocation_target"
	MetaErrorCode    = "restate_error_code"
	MetaRetryCount   = "restate_retry_count"
	MetaLevel        = "level"
	MetaTraceID      = "trace_id" // as Loki names the one of an OTLP record
)
