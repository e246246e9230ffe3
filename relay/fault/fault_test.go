package fault

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// allKinds lists the kinds up to the last one.
func allKinds() []Kind {
	var all []Kind
	for k := Internal; k <= Unavailable; k++ {
		all = append(all, k)
	}
	return all
}

func TestEveryKindIsInTheTable(t *testing.T) {
	if len(kinds) != len(allKinds()) {
		t.Errorf("%d kinds in the table, want %d", len(kinds), len(allKinds()))
	}
	for _, k := range allKinds() {
		if k.HTTPStatus() < 400 || k.GRPCCode() == codes.OK {
			t.Errorf("kind %d is HTTP %d and gRPC %v", k, k.HTTPStatus(), k.GRPCCode())
		}
	}
}

func TestCausesStayWithUs(t *testing.T) {
	for _, err := range []error{
		errors.New("secret"),
		fmt.Errorf("wrapped: %w", &Error{Kind: Unavailable, Message: "try again", Cause: errors.New("secret"), RetryAfter: time.Second}),
	} {
		for _, shape := range []Shape{Plain, OTLP, GRPC, JSON} {
			w := httptest.NewRecorder()
			Write(w, httptest.NewRequest(http.MethodPost, "/", nil), shape, err)
			if strings.Contains(w.Body.String()+fmt.Sprint(w.Header()), "secret") {
				t.Errorf("shape %d tells %q", shape, w.Body)
			}
		}
		if strings.Contains(Status(err).Message(), "secret") {
			t.Errorf("gRPC tells %v", Status(err))
		}
	}
}

func TestOTLPErrorsComeInTheRequestsEncoding(t *testing.T) {
	err := &Error{Kind: Full, Message: "too much", RetryAfter: 1500 * time.Millisecond}
	for contentType, decode := range map[string]func([]byte, proto.Message) error{
		"application/x-protobuf": proto.Unmarshal,
		"application/json":       protojson.Unmarshal,
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/traces", nil)
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		Write(w, r, OTLP, err)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Content-Type") != contentType || w.Header().Get("Retry-After") != "2" {
			t.Errorf("%s: %d %v", contentType, w.Code, w.Header())
		}
		var s spb.Status
		if err := decode(w.Body.Bytes(), &s); err != nil || s.GetMessage() != "too much" || codes.Code(s.GetCode()) != codes.ResourceExhausted {
			t.Errorf("%s: %v %v", contentType, &s, err)
		}
	}
}

func TestGRPCErrorsAreHeadersAlone(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, httptest.NewRequest(http.MethodPost, "/", nil), GRPC, New(Unauthenticated, "a bearer token is needed: 100%"))
	h := w.Header()
	if w.Code != http.StatusOK || h.Get("Grpc-Status") != "16" || h.Get("Grpc-Message") != "a%20bearer%20token%20is%20needed%3A%20100%25" || w.Body.Len() != 0 {
		t.Errorf("%d %v %q", w.Code, h, w.Body)
	}
}

func TestJSONErrorsSayTheirStatus(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, httptest.NewRequest(http.MethodGet, "/", nil), JSON, New(NotFound, `there is no "x"`))
	if got, want := w.Body.String(), `{"error":"there is no \"x\"","status":404}`+"\n"; w.Code != http.StatusNotFound || got != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s", w.Code, w.Header(), got)
	}
}
