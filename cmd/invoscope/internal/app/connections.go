package app

import (
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// boundedListener has no more connections at a time than it may. The next one waits to
// be accepted, in the operating system's queue.
type boundedListener struct {
	net.Listener
	free chan struct{}
	open prometheus.Gauge

	closing sync.Once
	closed  chan struct{}
}

func newBoundedListener(ln net.Listener, most int, open prometheus.Gauge) *boundedListener {
	return &boundedListener{Listener: ln, free: make(chan struct{}, most), open: open, closed: make(chan struct{})}
}

// Accept waits until there is room, and for a connection.
func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	l.open.Inc()
	return &boundedConn{Conn: conn, listener: l}, nil
}

// Close lets go of who waits in Accept.
func (l *boundedListener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	listener *boundedListener
	once     sync.Once
}

// Close makes room for another connection.
func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.listener.open.Dec()
		<-c.listener.free
	})
	return err
}
