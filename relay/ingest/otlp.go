package ingest

import (
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/relay/fault"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// message of OTLP as pdata has it.
type otlpMessage interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
	UnmarshalJSON([]byte) error
}

// OTLPTraces serves POST /v1/traces: an ExportTraceServiceRequest as protobuf or
// JSON.
func (in *Ingest) OTLPTraces(w http.ResponseWriter, r *http.Request, tenant string) error {
	body, release, err := in.readOTLP(r, tenant, ptraceotlp.NewExportRequest())
	if err != nil {
		return err
	}
	defer release()
	resp, err := in.exportTraces(r.Context(), tenant, body)
	if err != nil {
		return err
	}
	return writeOTLP(w, r, resp)
}

// OTLPLogs serves POST /v1/logs: an ExportLogsServiceRequest as protobuf or
// JSON.
func (in *Ingest) OTLPLogs(w http.ResponseWriter, r *http.Request, tenant string) error {
	body, release, err := in.readOTLP(r, tenant, plogotlp.NewExportRequest())
	if err != nil {
		return err
	}
	defer release()
	resp, err := in.exportLogs(r.Context(), tenant, body)
	if err != nil {
		return err
	}
	return writeOTLP(w, r, resp)
}

// exportTraces stores an encoded ExportTraceServiceRequest. Spans that can't be
// stored are refused and the rest is kept: Tempo refuses a whole request for one
// of them, and Restate sends spans without ids for invocations whose traceparent
// isn't sampled.
func (in *Ingest) exportTraces(ctx context.Context, tenant string, body []byte) (ptraceotlp.ExportResponse, error) {
	resp := ptraceotlp.NewExportResponse()
	b := in.spans(tenant)
	defer b.release()
	if err := b.store(ctx, tenant, body); err != nil {
		return resp, err
	}
	if n := b.refused.total(); n > 0 {
		resp.PartialSuccess().SetRejectedSpans(n)
		resp.PartialSuccess().SetErrorMessage(b.refused.phrase("spans"))
	}
	return resp, nil
}

// exportLogs stores an encoded ExportLogsServiceRequest. Records that are too old
// for Loki aren't rejected; a message without a count is OTLP's form of a warning.
func (in *Ingest) exportLogs(ctx context.Context, tenant string, body []byte) (plogotlp.ExportResponse, error) {
	resp := plogotlp.NewExportResponse()
	b := in.logs(tenant)
	defer b.release()
	if err := b.otlpLogs(body); err != nil {
		return resp, err
	}
	if err := in.allow(tenant, len(body), 0); err != nil {
		return resp, err
	}
	if err := b.store(ctx); err != nil {
		return resp, err
	}
	message := b.refused.phrase("log records")
	if n := b.dead.entries; n > 0 {
		if message != "" {
			message += "; "
		}
		message += strconv.Itoa(n) + " log records " + in.reasons.oldEntry.phrase + " are kept as dead letters"
	}
	if message != "" {
		resp.PartialSuccess().SetRejectedLogRecords(b.refused.total())
		resp.PartialSuccess().SetErrorMessage(message)
	}
	return resp, nil
}

// readOTLP returns a request as protobuf; req is one of its kind, for JSON. The
// bytes are valid until release is called.
func (in *Ingest) readOTLP(r *http.Request, tenant string, req otlpMessage) (body []byte, release func(), err error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || (mediaType != typeProtobuf && mediaType != typeJSON) {
		return nil, nil, fault.New(fault.UnsupportedMedia, "Content-Type must be "+typeProtobuf+" or "+typeJSON)
	}
	if strings.EqualFold(r.Header.Get("Content-Encoding"), "snappy") { // it has a meaning in Loki push only
		return nil, nil, unsupportedEncoding("snappy")
	}
	body, release, err = in.readBody(r, tenant)
	if err != nil || mediaType == typeProtobuf {
		return body, release, err
	}
	defer release()
	if err := checkJSONDepth(body); err != nil {
		return nil, nil, err
	}
	if err := req.UnmarshalJSON(body); err != nil {
		return nil, nil, fault.New(fault.Invalid, "the request is not OTLP: "+err.Error())
	}
	body, err = req.MarshalProto()
	return body, func() {}, err
}

// writeOTLP answers in the request's own encoding, as OTLP/HTTP demands.
func writeOTLP(w http.ResponseWriter, r *http.Request, resp otlpMessage) error {
	contentType, encode := typeProtobuf, resp.MarshalProto
	if fault.IsJSON(r.Header) {
		contentType, encode = typeJSON, resp.MarshalJSON
	}
	body, err := encode()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body) // a client that has gone away can't be told
	return nil
}
