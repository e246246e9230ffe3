package relay

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Only a tail may leave HTTP, and only for a WebSocket.
func TestUpgrades(t *testing.T) {
	tests := map[string]struct{ path, upgrade, want string }{
		"tail":              {"/loki/api/v1/tail", "websocket", "websocket"},
		"tail, other case":  {"/loki/api/v1/tail", "WebSocket", "WebSocket"},
		"tail to h2c":       {"/loki/api/v1/tail", "h2c", ""},
		"tail to a list":    {"/loki/api/v1/tail", "websocket, h2c", ""},
		"a query to h2c":    {"/loki/api/v1/query", "h2c", ""},
		"a query to socket": {"/loki/api/v1/query", "websocket", ""},
		"Tempo to h2c":      {"/api/echo", "h2c", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			r := httptest.NewRequest(http.MethodGet, tt.path, nil)
			r.Header.Set("Authorization", "Bearer good")
			r.Header.Set("Connection", "Upgrade, HTTP2-Settings")
			r.Header.Set("Upgrade", tt.upgrade)
			r.Header.Set("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")
			f.do(r)
			got := f.loki.last()
			if got == nil {
				got = f.tempo.last()
			}
			if got == nil {
				t.Fatal("no engine was asked")
			}
			wantConnection := ""
			if tt.want != "" {
				wantConnection = "Upgrade"
			}
			if h := got.Header; h.Get("Upgrade") != tt.want || h.Get("Connection") != wantConnection || h.Get("Http2-Settings") != "" {
				t.Errorf("the engine was told %v", h)
			}
		})
	}
}
