package fault

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Shape is how an API writes its errors.
type Shape int

const (
	// Plain is one line of text, as Loki and Tempo answer.
	Plain Shape = iota
	// OTLP is a google.rpc.Status in the request's own encoding
	// (opentelemetry.io/docs/specs/otlp, "Failures").
	OTLP
	// GRPC is a response without a body whose headers carry the gRPC status
	// ("Trailers-Only" in gRPC's PROTOCOL-HTTP2).
	GRPC
	// JSON is an object with the message and the HTTP status, as the invocation API
	// answers.
	JSON
)

// Write answers a request with err in an API's shape.
func Write(w http.ResponseWriter, r *http.Request, shape Shape, err error) {
	e := Of(err)
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	if e.Kind == Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Bearer realm="invoscope"`)
	}
	switch shape {
	case GRPC:
		writeGRPC(w, e)
	case OTLP:
		writeOTLP(w, r, e)
	case JSON:
		writeJSON(w, e)
	case Plain:
		http.Error(w, e.Message, e.Kind.HTTPStatus())
	}
}

// Status returns err as a gRPC status, with RetryInfo where there is a delay to
// tell: OTLP exporters retry RESOURCE_EXHAUSTED only with it.
func Status(err error) *status.Status {
	e := Of(err)
	s := status.New(e.Kind.GRPCCode(), e.Message)
	if e.RetryAfter <= 0 {
		return s
	}
	detailed, detailErr := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	if detailErr != nil {
		return s
	}
	return detailed
}

func writeGRPC(w http.ResponseWriter, e *Error) {
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(int(e.Kind.GRPCCode())))
	h.Set("Grpc-Message", strings.ReplaceAll(url.QueryEscape(e.Message), "+", "%20"))
	if e.RetryAfter > 0 { // see Status
		if details, err := proto.Marshal(Status(e).Proto()); err == nil {
			h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(details))
		}
	}
	w.WriteHeader(http.StatusOK)
}

func writeOTLP(w http.ResponseWriter, r *http.Request, e *Error) {
	body := Status(e).Proto()
	contentType, encode := "application/x-protobuf", proto.Marshal
	if IsJSON(r.Header) {
		contentType, encode = "application/json", protojson.Marshal
	}
	b, err := encode(body)
	if err != nil {
		http.Error(w, e.Message, e.Kind.HTTPStatus())
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(e.Kind.HTTPStatus())
	_, _ = w.Write(b) // a client that has gone away can't be told
}

func writeJSON(w http.ResponseWriter, e *Error) {
	body := struct {
		Error  string `json:"error"`
		Status int    `json:"status"`
	}{e.Message, e.Kind.HTTPStatus()}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(body.Status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone away can't be told
}

// IsJSON reports whether a request's body is JSON by its Content-Type.
func IsJSON(h http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && mediaType == "application/json"
}
