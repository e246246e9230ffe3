package relay

import (
	"errors"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/ingest"
	"github.com/invoscope/invoscope/tenancy/limits"
)

// IngestLimits returns what of a limiter [ingest.Options] asks for, its refusals in
// the words of faults.
func IngestLimits(l *limits.Limiter) ingest.Limits { return ingestLimits{l} }

type ingestLimits struct{ *limits.Limiter }

// Ingest implements [ingest.Limits].
func (l ingestLimits) Ingest(tenant string, bytes, spans int64) error {
	return limited(l.Limiter.Ingest(tenant, bytes, spans))
}

// limited is a limiter's refusal as a client sees it.
func limited(err error) error {
	var exceeded *limits.Exceeded
	if !errors.As(err, &exceeded) {
		return err
	}
	return &fault.Error{Kind: fault.Limited, Message: exceeded.Error(), RetryAfter: exceeded.RetryAfter}
}
