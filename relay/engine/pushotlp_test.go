package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// serveOTLP starts a gRPC server whose every method is handled by answer, with
// the bytes as they came, and returns its address.
func serveOTLP(tb testing.TB, answer func(ctx context.Context, method string, body []byte) ([]byte, error)) string {
	tb.Helper()
	server := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.MaxRecvMsgSize(1<<20),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			var body []byte
			if err := stream.RecvMsg(&body); err != nil {
				return err
			}
			method, _ := grpc.MethodFromServerStream(stream)
			resp, err := answer(stream.Context(), method, body)
			if err != nil {
				return err
			}
			return stream.SendMsg(resp)
		}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	tb.Cleanup(func() { server.Stop(); <-done })
	return listener.Addr().String()
}

// remoteTempo makes a remote engine whose HTTP side is nowhere.
func remoteTempo(t *testing.T, otlp string, header http.Header) *Remote {
	t.Helper()
	remote, err := NewRemoteTempo(RemoteOptions{URL: "http://127.0.0.1:1", OTLPEndpoint: otlp, Header: header})
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, remote)
	return remote
}

func TestTempoPushPassesBytesThrough(t *testing.T) {
	body := bytes.Repeat([]byte{0, 1, 0xff}, 1000)
	address := serveOTLP(t, func(ctx context.Context, method string, got []byte) ([]byte, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if method != otlpExport || !bytes.Equal(got, body) {
			t.Errorf("%s got %d bytes", method, len(got))
		}
		if tenant := md.Get("x-scope-orgid"); len(tenant) != 1 || tenant[0] != "acme" {
			t.Errorf("tenant %v", tenant)
		}
		if auth := md.Get("authorization"); len(auth) != 1 || auth[0] != "Basic abc" {
			t.Errorf("authorization %v", auth)
		}
		return nil, nil
	})
	remote := remoteTempo(t, "http://"+address, http.Header{"Authorization": {"Basic abc"}, "x-Scope-orgID": {"theirs"}})
	if err := remote.Push(t.Context(), "acme", body); err != nil {
		t.Error(err)
	}
}

func TestTempoPushErrors(t *testing.T) {
	tests := []struct {
		code        codes.Code
		message     string
		wait        time.Duration
		permanent   bool
		unavailable bool
	}{
		{code: codes.InvalidArgument, message: "trace ids must be 128 bit", permanent: true},
		{code: codes.FailedPrecondition, permanent: true},
		{code: codes.OutOfRange, permanent: true},
		{code: codes.InvalidArgument, message: strings.Repeat("é", 10_000), permanent: true},
		{code: codes.Internal, message: "grpc: error unmarshalling request: proto: wrong", permanent: true},
		{code: codes.Internal, message: "something broke"},
		{code: codes.ResourceExhausted, message: "RATE_LIMITED", wait: 3 * time.Second},
		{code: codes.ResourceExhausted, message: "RATE_LIMITED"},
		{code: codes.ResourceExhausted, message: "grpc: received message larger than max (2 vs. 1)", permanent: true},
		{code: codes.Unavailable, message: "shutting down", unavailable: true},
		{code: codes.DeadlineExceeded},
		{code: codes.Aborted},
		{code: codes.Unknown},
		{code: codes.Unauthenticated},
		{code: codes.PermissionDenied},
		{code: codes.Unimplemented},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.code, "/", tt.permanent), func(t *testing.T) {
			address := serveOTLP(t, func(context.Context, string, []byte) ([]byte, error) {
				st := status.New(tt.code, tt.message)
				if tt.wait > 0 {
					st, _ = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(tt.wait)})
				}
				return nil, st.Err()
			})
			err := remoteTempo(t, address, nil).Push(t.Context(), "acme", []byte("x"))
			var pushErr *PushError
			if !errors.As(err, &pushErr) {
				t.Fatalf("got %v, want a PushError", err)
			}
			if pushErr.Permanent != tt.permanent || pushErr.RetryAfter != tt.wait || errors.Is(err, ErrUnavailable) != tt.unavailable {
				t.Errorf("permanent %v, retry after %v: %v", pushErr.Permanent, pushErr.RetryAfter, err)
			}
			if status.Code(pushErr.Err) != tt.code {
				t.Errorf("code %v, want %v", status.Code(pushErr.Err), tt.code)
			}
			if text := err.Error(); len(text) > maxMessage+200 || !strings.Contains(text, tt.message[:min(len(tt.message), 100)]) {
				t.Errorf("message of %d bytes: %.200s", len(text), text)
			}
		})
	}
}

func TestTempoPushTooLarge(t *testing.T) {
	address := serveOTLP(t, func(context.Context, string, []byte) ([]byte, error) { return nil, nil })
	err := remoteTempo(t, address, nil).Push(t.Context(), "acme", make([]byte, 2<<20))
	var pushErr *PushError
	if !errors.As(err, &pushErr) || !pushErr.Permanent {
		t.Errorf("got %v, want a permanent PushError", err)
	}
}

func TestTempoPartialSuccess(t *testing.T) {
	for rejected, want := range map[int64]bool{0: false, 3: true} {
		address := serveOTLP(t, func(context.Context, string, []byte) ([]byte, error) {
			resp := ptraceotlp.NewExportResponse()
			resp.PartialSuccess().SetRejectedSpans(rejected)
			resp.PartialSuccess().SetErrorMessage("no room")
			return resp.MarshalProto()
		})
		err := remoteTempo(t, address, nil).Push(t.Context(), "acme", []byte("x"))
		var pushErr *PushError
		if got := errors.As(err, &pushErr) && pushErr.Permanent; got != want {
			t.Errorf("%d rejected: got %v", rejected, err)
		}
	}
}

func TestTempoPushWithoutReceiver(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	err = remoteTempo(t, address, nil).Push(t.Context(), "acme", []byte("x"))
	var pushErr *PushError
	if !errors.As(err, &pushErr) || pushErr.Permanent || !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want a temporary PushError of ErrUnavailable", err)
	}
}

func TestTempoPushGivesUpWithTheContext(t *testing.T) {
	arrived := make(chan struct{})
	address := serveOTLP(t, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		close(arrived)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	err := remoteTempo(t, address, nil).Push(ctx, "acme", []byte("x"))
	var pushErr *PushError
	if !errors.Is(err, context.Canceled) || errors.As(err, &pushErr) {
		t.Errorf("got %v, want context.Canceled alone", err)
	}
}

// TestTempoReadyNeedsTheReceiver: an engine that answers queries but can't take
// data isn't ready.
func TestTempoReadyNeedsTheReceiver(t *testing.T) {
	queries := serve(t, func(http.ResponseWriter, *http.Request) {})
	receiver := serveOTLP(t, func(_ context.Context, _ string, body []byte) ([]byte, error) {
		if len(body) > 0 {
			t.Errorf("asked with %d bytes", len(body))
		}
		return nil, nil
	})
	for otlp, want := range map[string]error{receiver: nil, "127.0.0.1:1": ErrUnavailable} {
		remote, err := NewRemoteTempo(RemoteOptions{URL: queries.URL, OTLPEndpoint: otlp})
		if err != nil {
			t.Fatal(err)
		}
		closeAfter(t, remote)
		if err := remote.Ready(t.Context()); !errors.Is(err, want) {
			t.Errorf("receiver at %s: got %v, want %v", otlp, err, want)
		}
	}
}

func BenchmarkTempoPush(b *testing.B) {
	address := serveOTLP(b, func(context.Context, string, []byte) ([]byte, error) { return nil, nil })
	pusher, err := newOTLPPusher(otlpTarget{address: address, creds: insecure.NewCredentials()})
	if err != nil {
		b.Fatal(err)
	}
	defer pusher.close()
	body := make([]byte, 256<<10)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := pusher.push(b.Context(), "acme", body); err != nil {
			b.Fatal(err)
		}
	}
}
