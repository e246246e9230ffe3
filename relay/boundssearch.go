package relay

import (
	"bytes"
	"io"
	"net/http"
	"net/url"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/internal/wire"
)

// tempoSearch checks a search over HTTP, of which narrowed says what it became.
func (b bounds) tempoSearch(params url.Values, narrowed search, isNarrowed bool) error {
	if !b.any() {
		return nil
	}
	if err := b.tempoLimits(numberOf(params.Get("limit"), tempoDefaultLimit), numberOf(params.Get("spss"), 0)); err != nil {
		return err
	}
	if isNarrowed {
		return b.tempoRange(narrowed.start, narrowed.end)
	}
	return b.tempoParams(params)
}

// The fields of tempopb.SearchRequest with limits.
const (
	fieldLimit           = 4
	fieldSpansPerSpanSet = 9
)

// grpcSearch is tempoSearch for an encoded tempopb.SearchRequest.
func (b bounds) grpcSearch(message []byte, narrowed search, isNarrowed bool) error {
	if !b.any() {
		return nil
	}
	n, err := numbersOf(message)
	if err != nil {
		return err
	}
	traces := int64(n[fieldLimit])
	if traces == 0 {
		traces = tempoDefaultLimit
	}
	if err := b.tempoLimits(traces, int64(n[fieldSpansPerSpanSet])); err != nil {
		return err
	}
	if isNarrowed {
		return b.tempoRange(narrowed.start, narrowed.end)
	}
	return b.tempoRange(n[fieldStart], n[fieldEnd])
}

// grpcTags checks a tempopb.SearchTagsRequest, and grpcTagValues a
// tempopb.SearchTagValuesRequest.
func grpcTags(b bounds, req *http.Request) error      { return b.grpcRange(req, 3, 4) }
func grpcTagValues(b bounds, req *http.Request) error { return b.grpcRange(req, 4, 5) }

// grpcRange checks a call whose message has a range in two of its fields.
func (b bounds) grpcRange(req *http.Request, start, end int) error {
	read, message := readMessage(req.Body, req.Header.Get("Grpc-Encoding"))
	req.Body = &prefixed{Reader: io.MultiReader(bytes.NewReader(read), req.Body), Closer: req.Body}
	req.ContentLength = -1
	n, err := numbersOf(message)
	if err != nil {
		return err
	}
	return b.tempoRange(n[start], n[end])
}

// numbersOf returns the first fields of a message that are numbers of 32 bits. Of one
// that comes twice the last counts.
func numbersOf(message []byte) (n [16]uint32, err error) {
	if message == nil {
		return n, invalid("the request can't be read, or is larger than %d bytes", maxSearch)
	}
	f := wire.Fields{Body: message}
	for f.Next() {
		if f.Kind == protowire.VarintType && f.Number < int32(len(n)) {
			n[f.Number] = uint32(f.Value)
		}
	}
	if f.Broken {
		return n, invalid("the request is malformed")
	}
	return n, nil
}
