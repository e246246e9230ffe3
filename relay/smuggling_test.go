package relay

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// wireEngine is an engine behind a socket: what gets there has been written to a wire
// and read from it again.
type wireEngine struct {
	mu  sync.Mutex
	got []string // whole requests: target, tenants, length of the body
	bad []string // what no engine may hear
}

func (e *wireEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it never became a whole request
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got = append(e.got, fmt.Sprintf("%s %s %v %d", r.Method, r.RequestURI, r.Header["X-Scope-Orgid"], len(body)))
	for name := range r.Header {
		switch strings.ToLower(name) {
		case "authorization", "cookie", "forwarded", "x-forwarded-for", "x-forwarded-host", "proxy-authorization":
			e.bad = append(e.bad, name)
		}
	}
	for name := range r.Trailer {
		e.bad = append(e.bad, "trailer "+name)
	}
}

// onWire puts a real server in place of the fixture's Loki.
func (f *fixture) onWire(t *testing.T) *wireEngine {
	t.Helper()
	e := &wireEngine{}
	server := httptest.NewServer(e)
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(func() { transport.CloseIdleConnections(); server.Close() })
	f.loki.respond = func(r *http.Request) (*http.Response, error) {
		r.URL.Host = server.Listener.Addr().String()
		return transport.RoundTrip(r)
	}
	return e
}

const (
	asAcme    = "Host: x\r\nAuthorization: Bearer good\r\n"
	asGlobex  = "Host: x\r\nAuthorization: Bearer other\r\n"
	postQuery = "POST /loki/api/v1/query HTTP/1.1\r\n"
	form      = "Content-Type: application/x-www-form-urlencoded\r\n"
	// smuggled is what an attacker would like an engine to read as a request.
	smuggled = "GET /flush HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: globex\r\n\r\n"
)

// TestSmuggling sends what programs along the way may cut into requests in different
// ways. An engine hears of whole requests only, of the right tenant, and of nothing else.
func TestSmuggling(t *testing.T) {
	one := []string{"POST /loki/api/v1/query [acme] 7"}
	get := []string{"GET /loki/api/v1/query [acme] 0"}
	tests := map[string]struct {
		raw    string
		status []int
		engine []string
	}{
		"as it should be":                 {postQuery + asAcme + form + "Content-Length: 7\r\n\r\nquery=1", []int{200}, one},
		"the same length twice":           {postQuery + asAcme + form + "Content-Length: 7\r\nContent-Length: 7\r\n\r\nquery=1", []int{200}, one},
		"two lengths":                     {postQuery + asAcme + "Content-Length: 7\r\nContent-Length: 66\r\n\r\nquery=1" + smuggled, []int{400}, nil},
		"two lengths in a list":           {postQuery + asAcme + "Content-Length: 7, 7\r\n\r\nquery=1", []int{400}, nil},
		"a signed length":                 {postQuery + asAcme + "Content-Length: +7\r\n\r\nquery=1", []int{400}, nil},
		"a length in hexadecimal":         {postQuery + asAcme + "Content-Length: 0x7\r\n\r\nquery=1", []int{400}, nil},
		"a length and chunks":             {postQuery + asAcme + form + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nquery=1\r\n0\r\n\r\n", []int{200}, one},
		"chunks and more":                 {postQuery + asAcme + form + "Content-Length: 200\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nquery=1\r\n0\r\n\r\n" + smuggled, []int{200, 404}, one},
		"a request within a length":       {postQuery + asAcme + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(smuggled)) + smuggled, []int{200}, []string{fmt.Sprintf("POST /loki/api/v1/query [acme] %d", len(smuggled))}},
		"a body of GET":                   {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(smuggled)) + smuggled, []int{200}, []string{fmt.Sprintf("GET /loki/api/v1/query [acme] %d", len(smuggled))}},
		"no length":                       {postQuery + asAcme + "\r\n" + smuggled, []int{200, 404}, []string{"POST /loki/api/v1/query [acme] 0"}},
		"CHUNKED":                         {postQuery + asAcme + form + "Transfer-Encoding: CHUNKED\r\n\r\n7\r\nquery=1\r\n0\r\n\r\n", []int{200}, one},
		"chunks of something":             {postQuery + asAcme + "Transfer-Encoding: xchunked\r\n\r\n7\r\nquery=1\r\n0\r\n\r\n", []int{501}, nil},
		"chunks, then identity":           {postQuery + asAcme + "Transfer-Encoding: chunked, identity\r\n\r\n7\r\nquery=1\r\n0\r\n\r\n", []int{501}, nil},
		"chunks twice":                    {postQuery + asAcme + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nquery=1\r\n0\r\n\r\n", []int{501}, nil},
		"a blank before the colon":        {postQuery + asAcme + "Transfer-Encoding : chunked\r\n\r\n7\r\nquery=1\r\n0\r\n\r\n", []int{400}, nil},
		"a blank behind chunked":          {postQuery + asAcme + form + "Transfer-Encoding:  chunked \r\n\r\n7\r\nquery=1\r\n0\r\n\r\n", []int{200}, one},
		"a vertical tab":                  {postQuery + asAcme + "Transfer-Encoding: \x0bchunked\r\n\r\n7\r\nquery=1\r\n0\r\n\r\n", []int{400}, nil},
		"chunks with an extension":        {postQuery + asAcme + form + "Transfer-Encoding: chunked\r\n\r\n7;x=\"\n\"\r\nquery=1\r\n0\r\n\r\n", nil, nil},
		"chunks with a plain extension":   {postQuery + asAcme + form + "Transfer-Encoding: chunked\r\n\r\n7;x=y\r\nquery=1\r\n0\r\n\r\n", []int{200}, one},
		"a chunk that is longer":          {postQuery + asAcme + "Transfer-Encoding: chunked\r\n\r\n3\r\nquery=1\r\n0\r\n\r\n", nil, nil},
		"chunks in HTTP/1.0":              {"POST /loki/api/v1/query HTTP/1.0\r\n" + asAcme + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nquery=1\r\n0\r\n\r\n" + smuggled, []int{200, 400}, []string{"POST /loki/api/v1/query [acme] 0"}},
		"bare line feeds":                 {strings.ReplaceAll("GET /loki/api/v1/query HTTP/1.1\r\n"+asAcme+"\r\n", "\r\n", "\n"), []int{200}, get},
		"bare line feeds among chunks":    {postQuery + asAcme + "Transfer-Encoding: chunked\r\n\r\n7\nquery=1\n0\n\n", nil, nil},
		"a bare carriage return":          {"GET /loki/api/v1/query HTTP/1.1\r\nX-A: b\rX-Scope-OrgID: globex\r\n" + asAcme + "\r\n", []int{400}, nil},
		"a folded line":                   {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "X-A: b\r\n X-Scope-OrgID: globex\r\n\r\n", []int{200}, get},
		"a folded first line":             {"GET /loki/api/v1/query HTTP/1.1\r\n X-Scope-OrgID: globex\r\n" + asAcme + "\r\n", []int{400}, nil},
		"NUL":                             {"GET /loki/api/v1/query HTTP/1.1\r\nX-A: b\x00\r\n" + asAcme + "\r\n", []int{400}, nil},
		"HTTP/1.0, kept alive":            {"GET /loki/api/v1/query HTTP/1.0\r\n" + asAcme + "Connection: keep-alive\r\n\r\n", []int{200}, get},
		"two hosts":                       {"GET /loki/api/v1/query HTTP/1.1\r\nHost: y\r\n" + asAcme + "\r\n", []int{400}, nil},
		"no host":                         {"GET /loki/api/v1/query HTTP/1.1\r\nAuthorization: Bearer good\r\n\r\n", []int{400}, nil},
		"a host with a user":              {"GET /loki/api/v1/query HTTP/1.1\r\nHost: acme@x\r\nAuthorization: Bearer good\r\n\r\n", []int{400}, nil},
		"a URL":                           {"GET http://x/loki/api/v1/query HTTP/1.1\r\n" + asAcme + "\r\n", []int{400}, nil},
		"another host's URL":              {"GET http://globex/loki/api/v1/query HTTP/1.1\r\n" + asAcme + "\r\n", []int{400}, nil},
		"a URL with a user":               {"GET http://u:p@x/loki/api/v1/query HTTP/1.1\r\n" + asAcme + "\r\n", []int{400}, nil},
		"another scheme":                  {"GET file:///loki/api/v1/query HTTP/1.1\r\n" + asAcme + "\r\n", []int{400}, nil},
		"an asterisk":                     {"GET * HTTP/1.1\r\n" + asAcme + "\r\n", []int{400}, nil},
		"OPTIONS of an asterisk":          {"OPTIONS * HTTP/1.1\r\n" + asAcme + "\r\n", []int{400}, nil},
		"CONNECT":                         {"CONNECT engine:3100 HTTP/1.1\r\n" + asAcme + "\r\n", []int{400}, nil},
		"CONNECT to a path":               {"CONNECT /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "\r\n", []int{400}, nil},
		"TRACE":                           {"TRACE /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "\r\n", []int{405}, nil},
		"a blank in the path":             {"GET /loki/api/v1/query X HTTP/1.1\r\n" + asAcme + "\r\n", []int{400}, nil},
		"a tenant":                        {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "x-scope-ORGID: globex\r\nX-Scope-OrgID: initech\r\n\r\n", []int{200}, get},
		"a tenant, hop by hop":            {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "Connection: x-scope-orgid, close\r\nX-Scope-OrgID: globex\r\n\r\n", []int{200}, get},
		"a token, hop by hop":             {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "Connection: authorization\r\n\r\n", []int{200}, get},
		"two tokens":                      {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "authorization: Bearer other\r\n\r\n", []int{401}, nil},
		"a token in a trailer":            {postQuery + "Host: x\r\nTrailer: Authorization\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer good\r\n\r\n", []int{401}, nil},
		"a tenant in a trailer":           {postQuery + asAcme + form + "Trailer: X-Scope-OrgID, Authorization\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nquery=1\r\n0\r\nX-Scope-OrgID: globex\r\nAuthorization: Bearer other\r\n\r\n", []int{200}, one},
		"a chain of proxies":              {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "X-Forwarded-For: 1.2.3.4\r\nForwarded: host=globex\r\nX-Forwarded-Host: globex\r\nProxy-Authorization: Basic eDp5\r\nCookie: a=b\r\n\r\n", []int{200}, get},
		"an upgrade to HTTP/2":            {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n", []int{200}, get},
		"two requests of two tenants":     {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "\r\nGET /loki/api/v1/query HTTP/1.1\r\n" + asGlobex + "\r\n", []int{200, 200}, []string{get[0], "GET /loki/api/v1/query [globex] 0"}},
		"a second request without token":  {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + "\r\nGET /loki/api/v1/query HTTP/1.1\r\nHost: x\r\n\r\n", []int{200, 401}, get},
		"many fields":                     {"GET /loki/api/v1/query HTTP/1.1\r\n" + asAcme + strings.Repeat("X-A: b\r\n", maxFields) + "\r\n", []int{431}, nil},
		"a body that is waited for":       {postQuery + asAcme + form + "Expect: 100-continue\r\nContent-Length: 7\r\n\r\nquery=1", []int{200}, one},
		"an expectation that isn't known": {postQuery + asAcme + "Expect: 200-ok\r\nContent-Length: 7\r\n\r\nquery=1", []int{417}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			e := f.onWire(t)
			conn := dial(t, f.publicPort(t))
			if _, err := io.WriteString(conn, tt.raw); err != nil {
				t.Fatal(err)
			}
			statuses := readStatuses(t, conn, tt.status)
			if tt.status != nil && !slices.Equal(statuses, tt.status) {
				t.Errorf("the answers are %v, want %v", statuses, tt.status)
			}
			if tt.status == nil && slices.Max(append(statuses, 0)) < 400 && len(statuses) > 0 {
				t.Errorf("the answers are %v, want a refusal", statuses)
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if !slices.Equal(e.got, tt.engine) {
				t.Errorf("the engine got %q, want %q", e.got, tt.engine)
			}
			if len(e.bad) > 0 {
				t.Errorf("the engine heard of %v", e.bad)
			}
		})
	}
}

// readStatuses reads answers, but for 100, until the connection ends. When as many came
// as are wanted it asks for one more, which must be the last: nothing is left over.
func readStatuses(t *testing.T, conn net.Conn, want []int) (statuses []int) {
	t.Helper()
	in := bufio.NewReader(conn)
	asked := false
	for {
		switch {
		case len(want) == 0 && !asked: // whatever comes of it, there is no more to it
			asked = true
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		case len(statuses) == len(want) && !asked:
			asked = true
			_, _ = io.WriteString(conn, "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") // it may be closed
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if last := asked && string(body) == "ready\n"; !last && resp.StatusCode != http.StatusContinue {
			statuses = append(statuses, resp.StatusCode)
		}
		if err != nil {
			return statuses
		}
	}
}

// TestSmugglingOverHTTP2 sends heads that HTTP/2 doesn't allow, or that say two things.
func TestSmugglingOverHTTP2(t *testing.T) {
	plain := func(more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "http", ":authority", "x", ":path", "/loki/api/v1/query", "authorization", "Bearer good"}, more...)
	}
	const reset = "reset"
	get := []string{"GET /loki/api/v1/query [acme] 0"}
	tests := map[string]struct {
		head   []string
		want   string // the status, or reset
		engine []string
	}{
		"as it should be":             {plain(), "200", get},
		"a tenant":                    {plain("x-scope-orgid", "globex"), "200", get},
		"another host":                {plain("host", "globex"), "200", get},
		"two authorities":             {plain()[:8:8], reset, nil},
		"upper case":                  {plain("X-Scope-OrgID", "globex"), reset, nil},
		"a connection":                {plain("connection", "x-scope-orgid"), "400", nil},
		"chunks":                      {plain("transfer-encoding", "chunked"), "400", nil},
		"an upgrade":                  {plain("upgrade", "h2c"), "400", nil},
		"te":                          {plain("te", "chunked"), "400", nil},
		"a pseudo field behind":       {plain(":path", "/flush"), reset, nil},
		"an unknown pseudo field":     {append([]string{":protocol", "websocket"}, plain()...), reset, nil},
		"a line feed in a value":      {plain("x-a", "b\r\nx-scope-orgid: globex"), reset, nil},
		"a colon in a name":           {plain("x-a:b", "c"), reset, nil},
		"an asterisk":                 {replace(plain(), ":path", "*"), "400", nil},
		"a URL":                       {replace(plain(), ":path", "http://x/loki/api/v1/query"), "400", nil},
		"no slash":                    {replace(plain(), ":path", "loki/api/v1/query"), reset, nil},
		"no path":                     {replace(plain(), ":path", ""), reset, nil},
		"a fragment":                  {replace(plain(), ":path", "/loki/api/v1/query#x"), "404", nil},
		"CONNECT":                     {[]string{":method", "CONNECT", ":authority", "engine:3100", "authorization", "Bearer good"}, "400", nil},
		"an authority with a user":    {replace(plain(), ":authority", "u@x"), reset, nil},
		"a length that isn't true":    {plain("content-length", "10"), "200", get},
		"two tokens":                  {plain("authorization", "Bearer other"), "401", nil},
		"a request line in the path":  {replace(plain(), ":path", "/loki/api/v1/query HTTP/1.1\r\nX-Scope-OrgID: globex"), reset, nil},
		"a request line in the query": {replace(plain(), ":path", "/loki/api/v1/query?a HTTP/1.1"), "", nil},
	}
	tests["two authorities"] = struct {
		head   []string
		want   string
		engine []string
	}{append([]string{":authority", "globex"}, plain()...), reset, nil}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			e := f.onWire(t)
			got := roundTripHead(t, f.publicPort(t), tt.head)
			if tt.want != "" && got != tt.want {
				t.Errorf("the answer is %s, want %s", got, tt.want)
			}
			if tt.want == "" && got == "200" {
				t.Errorf("the answer is %s", got)
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			if !slices.Equal(e.got, tt.engine) || len(e.bad) > 0 {
				t.Errorf("the engine got %q and heard of %v, want %q", e.got, e.bad, tt.engine)
			}
		})
	}
}

// replace changes one field of a head.
func replace(head []string, name, value string) []string {
	head[slices.Index(head, name)+1] = value
	return head
}

// roundTripHead sends a request of one HEADERS frame, written as it is, and returns the
// status of the answer, or "reset".
func roundTripHead(t *testing.T, addr string, head []string) string {
	t.Helper()
	conn := dial(t, addr)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(head); i += 2 {
		if err := encoder.WriteField(hpack.HeaderField{Name: head[i], Value: head[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	framer := http2.NewFramer(conn, conn)
	framer.AllowIllegalWrites = true
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err := io.WriteString(conn, http2.ClientPreface)
	err = cmp.Or(err, framer.WriteSettings(), framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}))
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return "reset" // of the whole connection
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "reset"
		}
	}
}
