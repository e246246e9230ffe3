package relay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
)

// TestMatrixOfTheGRPCPort asks the methods of the OTLP/gRPC port with every credential,
// by every spelling, and expects what the public port's table says.
func TestMatrixOfTheGRPCPort(t *testing.T) {
	f, log, m := newTenants(t)
	addr := f.grpcPort(t)
	client := h2c(t)
	table := expectations()
	methods := 0
	for _, route := range Routes() {
		if route.Shape != fault.GRPC {
			continue
		}
		served := route.Scope.Writes()
		methods++
		for form := range forms {
			for name, cred := range m.credentials(route.Scope) {
				c := cell{route, http.MethodPost, form, cred, "HTTP/2"}
				want := "grpc 12" // unimplemented
				if served && form == "plain" {
					want = cred.want(table["POST "+route.Pattern])
				}
				before := f.asked()
				got := c.ask(t, client, addr)
				if got.outcome != want {
					t.Errorf("%s: %s, %s: %s, want %s", route.Pattern, name, form, got.outcome, want)
				}
				after := f.asked()
				if let := want == "grpc 0"; let == (fmt.Sprint(before) == fmt.Sprint(after)) {
					t.Errorf("%s: %s, %s: asked %v, then %v", route.Pattern, name, form, before, after)
				}
				if rec := log.next(t); (rec.Code == "OK") != (want == "grpc 0") {
					t.Errorf("%s: %s, %s: audited as %+v", route.Pattern, name, form, rec)
				}
			}
		}
	}
	if methods < 7 {
		t.Errorf("the table has %d gRPC methods", methods)
	}
}

// spy is an authenticator that tells of callers, and lets everybody in.
type spy struct {
	fakeAuthenticator
	callers chan tenancy.Caller
}

func (s spy) Authenticate(c tenancy.Caller) (tenancy.Identity, error) {
	s.callers <- c
	return tenancy.Identity{Tenant: "acme", Scopes: tenancy.Scopes()}, nil
}

// certificate makes a certificate that vouches for itself.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func pool(c tls.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.Leaf)
	return p
}

// What the HTTP ports know of a connection, the OTLP/gRPC port knows before it reads a
// message: the host, the name that TLS was asked for, the client's certificate.
func TestGRPCPortOverTLS(t *testing.T) {
	server, shipper := certificate(t, ownHost), certificate(t, "shipper")
	f := newFixture(t)
	callers := make(chan tenancy.Caller, 1)
	f.relay.opts.Authenticator = spy{callers: callers}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		served <- f.relay.GRPC().Serve(tls.NewListener(ln, &tls.Config{
			Certificates: []tls.Certificate{server}, NextProtos: []string{"h2"}, ClientCAs: pool(shipper), ClientAuth: tls.VerifyClientCertIfGiven,
		}))
	}()
	defer func() {
		f.relay.GRPC().Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	for name, own := range map[string][]tls.Certificate{"with a certificate": {shipper}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			conn, err := grpc.NewClient(ln.Addr().String(),
				grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool(server), ServerName: ownHost, Certificates: own})))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x")
			if _, err := plogotlp.NewGRPCClient(conn).Export(ctx, logsRequest("a")); status.Code(err) != codes.OK {
				t.Fatal(err)
			}
			got := <-callers
			if got.Host != ownHost || got.ServerName != ownHost || len(got.Authorization) != 1 {
				t.Errorf("the caller is %+v", got)
			}
			if (got.Certificate != nil) != (own != nil) || own != nil && got.Certificate.Subject.CommonName != "shipper" {
				t.Errorf("the certificate is %v", got.Certificate)
			}
		})
	}
}
