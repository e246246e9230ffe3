package relay

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// message is the tempopb.SearchRequest that says what parameters do.
func message(params url.Values) (m []byte) {
	number := func(field protowire.Number, name string) {
		if text := params.Get(name); text != "" {
			var n uint64
			if _, err := fmt.Sscan(text, &n); err != nil {
				panic(err)
			}
			m = protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), n)
		}
	}
	number(4, "limit")
	number(9, "spss")
	m = protowire.AppendString(protowire.AppendTag(m, 77, protowire.BytesType), "a field of a later version")
	number(5, "start")
	number(6, "end")
	return protowire.AppendString(protowire.AppendTag(m, 8, protowire.BytesType), params.Get("q"))
}

// stream asks over gRPC with a body and returns the body that the engine got.
func (f *fixture) stream(t *testing.T, encoding string, body []byte, set ...string) (got []byte, resp *http.Response) {
	t.Helper()
	f.tempo.before = func(r *http.Request) (err error) {
		got, err = io.ReadAll(r.Body)
		return err
	}
	r := httptest.NewRequest(http.MethodPost, "/tempopb.StreamingQuerier/Search", bytes.NewReader(body))
	r.ProtoMajor, r.ProtoMinor, r.Proto = 2, 0, "HTTP/2.0"
	for name, values := range headers(set).header() {
		r.Header[name] = values
	}
	r.Header.Set("Authorization", "Bearer good")
	r.Header.Set("Content-Type", "application/grpc")
	if encoding != "" {
		r.Header.Set("Grpc-Encoding", encoding)
	}
	resp = f.do(r)
	return got, resp
}

func compressed(t *testing.T, encoding string, message []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if encoding == "zstd" {
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	if _, err := w.Write(message); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	framed := frame(b.Bytes())
	framed[0] = 1
	return framed
}

func TestStreamedSearches(t *testing.T) {
	asked := message(url.Values{"q": {knownQuery}, "start": {"1"}, "end": {"2"}})
	narrowed := frame(message(url.Values{"q": {narrowedQuery}, "start": {"4999"}, "end": {"5003"}}))
	large := message(url.Values{"q": {knownQuery + strings.Repeat(" ", maxSearch)}})
	withTags := protowire.AppendString(protowire.AppendTag(asked, 1, protowire.BytesType), "\n\x01a\x12\x01b")
	twice := append(message(url.Values{"q": {"{}"}}), asked...)
	huge := binary.BigEndian.AppendUint32([]byte{0}, math.MaxUint32)
	for name, tt := range map[string]struct {
		encoding string
		body     []byte
		want     []byte // nil: as it is
	}{
		"plain":                         {"", frame(asked), narrowed},
		"gzip":                          {"gzip", compressed(t, "gzip", asked), narrowed},
		"zstd":                          {"zstd", compressed(t, "zstd", asked), narrowed},
		"not compressed though it may":  {"gzip", frame(asked), narrowed},
		"what follows the message":      {"", append(frame(asked), "rest"...), append(bytes.Clone(narrowed), "rest"...)},
		"another query":                 {"", frame(message(url.Values{"q": {"{}"}})), nil},
		"nothing":                       {"", nil, nil},
		"half a head":                   {"", []byte{0, 0}, nil},
		"half a message":                {"", frame(asked)[:40], nil},
		"an empty message":              {"", frame(nil), nil},
		"a huge message":                {"", append(huge, "begin"...), nil},
		"too large":                     {"", frame(large), nil},
		"too large, compressed":         {"gzip", compressed(t, "gzip", large), nil},
		"not gzip":                      {"gzip", append([]byte{1}, frame(asked)[1:]...), nil},
		"an encoding nobody knows":      {"brotli", append([]byte{1}, frame(asked)[1:]...), nil},
		"compressed without an enoding": {"", compressed(t, "gzip", asked), nil},
		"an unknown flag":               {"", append([]byte{2}, frame(asked)[1:]...), nil},
		"not protobuf":                  {"", frame([]byte{0xff, 0xff}), nil},
		"protobuf with junk behind":     {"", frame(append(bytes.Clone(asked), 0xff)), nil},
		"with tags":                     {"", frame(withTags), nil},
		"a query that is a number":      {"", frame(append(bytes.Clone(asked), 8<<3, 1)), nil},
		"a start that is text":          {"", frame(append(bytes.Clone(asked), 5<<3|2, 1, '1')), nil},
		"a start after 2038":            {"", frame(append(bytes.Clone(asked), 5<<3, 0x80, 0x80, 0x80, 0x80, 0x08)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.withRecord(t, oneTrace)
			got, resp := f.stream(t, tt.encoding, tt.body)
			result := lookupNarrowed
			if tt.want == nil {
				tt.want, result = tt.body, ""
			}
			f.looked(t, resp, result)
			if !bytes.Equal(got, tt.want) {
				t.Errorf("the engine was asked %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("a query twice, of which the last counts", func(t *testing.T) {
		f := newFixture(t)
		f.withRecord(t, oneTrace)
		got, resp := f.stream(t, "", frame(twice))
		f.looked(t, resp, lookupNarrowed)
		if s, ok := searchFromMessage(got[frameHead:]); !ok || s.start != 4999 || s.query != narrowedQuery {
			t.Errorf("the engine was asked %+v", s)
		}
	})
}

// A client that goes away ends its call, whatever that waits for.
func TestStreamedSearchesThatAreGivenUp(t *testing.T) {
	for name, body := range map[string][]byte{
		"before the message has come": frame(message(url.Values{"q": {knownQuery}}))[:20],
		"before there is an answer":   frame(message(url.Values{"q": {knownQuery}})),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.withRecord(t, oneTrace)
			begun, ended := make(chan struct{}), make(chan struct{})
			f.tempo.before = func(r *http.Request) error {
				close(begun)
				<-r.Context().Done()
				return r.Context().Err()
			}
			public := f.relay.Public()
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				public.ServeHTTP(w, r)
			}))
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Start()
			defer server.Close()

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			toServer, fromClient := io.Pipe()
			defer fromClient.Close()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/tempopb.StreamingQuerier/Search", toServer)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer good")
			req.Header.Set("Content-Type", "application/grpc")
			client, answered := h2c(t), make(chan error, 1)
			go func() {
				resp, err := client.Do(req)
				if err == nil {
					resp.Body.Close()
				}
				answered <- err
			}()
			if _, err := fromClient.Write(body); err != nil {
				t.Fatal(err)
			}
			if name == "before there is an answer" {
				<-begun
			}
			cancel()
			if err := <-answered; !errors.Is(err, context.Canceled) {
				t.Errorf("the client got %v", err)
			}
			<-ended
		})
	}
}

// A bomb costs no more than what is looked at.
func TestCompressedSearchesTakeLittleMemory(t *testing.T) {
	f := newFixture(t)
	f.withRecord(t, oneTrace)
	bomb := frame(zstdFrame(20, 3000)) // 375 MiB of zeros in 12 KiB
	bomb[0] = 1
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, _ := f.stream(t, "zstd", bomb)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; !bytes.Equal(got, bomb) || took > 48<<20 {
		t.Errorf("took %d MiB", took>>20)
	}
}

// FuzzSearchMessage narrows messages: what is read of the result is what was to be
// in it, and the rest is as it was.
func FuzzSearchMessage(f *testing.F) {
	f.Add(message(url.Values{"q": {knownQuery}, "start": {"1"}, "end": {"2"}, "limit": {"20"}}))
	f.Add([]byte{8 << 3, 1})
	f.Fuzz(func(t *testing.T, asked []byte) {
		if _, ok := searchFromMessage(asked); !ok {
			return
		}
		want := search{query: knownQuery, start: 3, end: 4}
		once := want.message(asked)
		if got, ok := searchFromMessage(once); !ok || got != want {
			t.Errorf("%q: %+v, %t", once, got, ok)
		}
		if again := want.message(once); !bytes.Equal(again, once) {
			t.Errorf("%q, then %q", once, again)
		}
	})
}
