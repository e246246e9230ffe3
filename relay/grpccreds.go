package relay

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// connCredentials tells gRPC what is known of a connection that its listener has
// secured, so that one listener with one [tls.Config] does for every port. A
// connection without TLS is taken as it is.
type connCredentials struct {
	credentials.TransportCredentials
}

func newConnCredentials() credentials.TransportCredentials {
	return connCredentials{insecure.NewCredentials()}
}

// ServerHandshake implements [credentials.TransportCredentials]. gRPC has set the
// connection's deadline.
func (c connCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, ok := conn.(*tls.Conn)
	if !ok {
		return c.TransportCredentials.ServerHandshake(conn)
	}
	if err := secured.HandshakeContext(context.Background()); err != nil {
		return nil, nil, err
	}
	return secured, credentials.TLSInfo{
		State: secured.ConnectionState(), CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

// Clone implements [credentials.TransportCredentials].
func (c connCredentials) Clone() credentials.TransportCredentials {
	return connCredentials{c.TransportCredentials.Clone()}
}
