package app

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestServersSayLittleAndTakeLittle looks at what is answered to odd headers, by each
// port that speaks HTTP.
func TestServersSayLittleAndTakeLittle(t *testing.T) {
	d := startFile(t, "", nil)
	for name, c := range map[string]struct {
		header string
		want   int
	}{
		"an ordinary request": {"X-Ordinary: yes", http.StatusUnauthorized},
		"headers of 32 KiB":   {"X-Long: " + strings.Repeat("a", 32<<10), http.StatusUnauthorized},
		"headers of 128 KiB":  {"X-Long: " + strings.Repeat("a", 128<<10), http.StatusRequestHeaderFieldsTooLarge},
		"many headers":        {strings.TrimSuffix(strings.Repeat("X-Many: a\r\n", 16<<10), "\r\n"), http.StatusRequestHeaderFieldsTooLarge},
	} {
		for _, address := range []string{d.HTTP, d.OTLPHTTP} {
			t.Run(name, func(t *testing.T) {
				conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				// The server may answer and close before it has everything.
				_, _ = fmt.Fprintf(conn, "POST /v1/logs HTTP/1.1\r\nHost: h\r\n%s\r\nContent-Length: 0\r\n\r\n", c.header)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if resp.StatusCode != c.want {
					t.Errorf("%s, want %d", resp.Status, c.want)
				}
				if server := resp.Header.Get("Server"); server != "" {
					t.Errorf("Server: %s", server)
				}
			})
		}
	}
}
