package app

import (
	"fmt"
	"net"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
)

// listeners are the ports that are ours, from before anything is served on them.
type listeners struct {
	http, otlpGRPC, otlpHTTP, admin net.Listener
}

func listen(c config.Listen) (listeners, error) {
	var l listeners
	for _, one := range []struct {
		key  string
		addr string
		into *net.Listener
	}{
		{"listen.http", c.HTTP, &l.http},
		{"listen.otlp_grpc", c.OTLPGRPC, &l.otlpGRPC},
		{"listen.otlp_http", c.OTLPHTTP, &l.otlpHTTP},
		{"listen.admin", c.Admin, &l.admin},
	} {
		ln, err := net.Listen("tcp", one.addr)
		if err != nil {
			l.close()
			return listeners{}, fmt.Errorf("%s: %w", one.key, err)
		}
		*one.into = ln
	}
	return l, nil
}

func (l listeners) close() {
	for _, ln := range []net.Listener{l.http, l.otlpGRPC, l.otlpHTTP, l.admin} {
		if ln != nil {
			_ = ln.Close() // a server may have closed it
		}
	}
}

// dialable is an address that a client on this machine can use: a listener on
// every interface is reached over loopback.
func dialable(ln net.Listener) string {
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsUnspecified() {
		return ln.Addr().String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(addr.Port))
}
