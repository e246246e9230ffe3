package app

import (
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"
)

// countedListener counts the connections that are open.
type countedListener struct {
	net.Listener
	open prometheus.Gauge
}

// newBoundedListener has no more connections at a time than most. The next one waits to
// be accepted, in the operating system's queue.
func newBoundedListener(ln net.Listener, most int, open prometheus.Gauge) net.Listener {
	return countedListener{netutil.LimitListener(ln, most), open}
}

// Accept waits until there is room, and for a connection.
func (l countedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Inc()
	return &countedConn{Conn: conn, closed: sync.OnceFunc(l.open.Dec)}, nil
}

type countedConn struct {
	net.Conn
	closed func()
}

// Close closes the connection, which is counted once.
func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
