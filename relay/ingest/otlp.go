package ingest

import (
	"context"
	"mime"
	"net/http"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/relay/fault"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// response is what OTLP's responses have in common.
type response interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

// unmarshaler is what OTLP's requests have in common.
type unmarshaler interface {
	UnmarshalProto([]byte) error
	UnmarshalJSON([]byte) error
}

// OTLPTraces serves POST /v1/traces: an ExportTraceServiceRequest as protobuf or
// JSON.
func (in *Ingest) OTLPTraces(w http.ResponseWriter, r *http.Request, tenant string) error {
	req := ptraceotlp.NewExportRequest()
	if err := in.decodeOTLP(r, req); err != nil {
		return err
	}
	resp, err := in.exportTraces(r.Context(), tenant, req)
	if err != nil {
		return err
	}
	return writeOTLP(w, r, resp)
}

// OTLPLogs serves POST /v1/logs: an ExportLogsServiceRequest as protobuf or
// JSON.
func (in *Ingest) OTLPLogs(w http.ResponseWriter, r *http.Request, tenant string) error {
	req := plogotlp.NewExportRequest()
	if err := in.decodeOTLP(r, req); err != nil {
		return err
	}
	if err := in.storeLogs(r.Context(), tenant, req.Logs()); err != nil {
		return err
	}
	return writeOTLP(w, r, plogotlp.NewExportResponse())
}

func (in *Ingest) exportTraces(ctx context.Context, tenant string, req ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	resp := ptraceotlp.NewExportResponse()
	refused, err := in.storeTraces(ctx, tenant, req.Traces())
	if err == nil && refused.count > 0 {
		resp.PartialSuccess().SetRejectedSpans(refused.count)
		resp.PartialSuccess().SetErrorMessage(refused.reason)
	}
	return resp, err
}

func (in *Ingest) decodeOTLP(r *http.Request, into unmarshaler) error {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || (mediaType != typeProtobuf && mediaType != typeJSON) {
		return fault.New(fault.UnsupportedMedia, "Content-Type must be "+typeProtobuf+" or "+typeJSON)
	}
	body, release, err := in.readBody(r)
	if err != nil {
		return err
	}
	defer release()
	check, decode := checkProtoDepth, into.UnmarshalProto
	if mediaType == typeJSON {
		check, decode = checkJSONDepth, into.UnmarshalJSON
	}
	if err := check(body); err != nil {
		return err
	}
	if err := decode(body); err != nil {
		return fault.New(fault.Invalid, "the request is not OTLP: "+err.Error())
	}
	return nil
}

// writeOTLP answers in the request's own encoding, as OTLP/HTTP demands.
func writeOTLP(w http.ResponseWriter, r *http.Request, resp response) error {
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
