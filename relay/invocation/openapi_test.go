package invocation

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// document is openapi.yaml and how its requests are found.
type document struct {
	*openapi3.T
	router routers.Router
}

// openDocument reads the document, which must be a valid one, and closes its
// objects: readers of v1 have to expect fields that they don't know, our own tests
// don't.
func openDocument(t *testing.T) document {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableSchemaFormatValidation(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, schema := range doc.Components.Schemas {
		closeObject(schema.Value)
	}
	return document{doc, router}
}

// closeObject takes what an object is made of into it, and allows no other
// properties.
func closeObject(s *openapi3.Schema) {
	if s.Items != nil {
		closeObject(s.Items.Value)
	}
	for _, property := range s.Properties {
		closeObject(property.Value)
	}
	if len(s.Properties) == 0 {
		return
	}
	for _, part := range s.AllOf {
		maps.Copy(s.Properties, part.Value.Properties)
		s.Required = append(s.Required, part.Value.Required...)
	}
	no := false
	s.AllOf, s.AdditionalProperties = nil, openapi3.AdditionalProperties{Has: &no}
}

// check says what isn't documented of a request and its answer. A request that is
// refused needn't be.
func (d document) check(r *http.Request, resp *http.Response) error {
	route, path, err := d.router.FindRoute(r)
	if err != nil {
		return err
	}
	options := &openapi3filter.Options{
		IncludeResponseStatus: true, MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		SchemaValidationOptions: []openapi3.SchemaValidationOption{openapi3.EnableFormatValidation()},
	}
	asked := &openapi3filter.RequestValidationInput{Request: r, PathParams: path, Route: route, Options: options}
	if resp.StatusCode != http.StatusBadRequest {
		if err := openapi3filter.ValidateRequest(r.Context(), asked); err != nil {
			return err
		}
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: asked, Status: resp.StatusCode, Header: resp.Header, Body: resp.Body, Options: options,
	})
}

func TestDocumentIsOpenAPI(t *testing.T) {
	if doc := openDocument(t); !doc.IsOpenAPI31OrLater() {
		t.Errorf("version %s", doc.OpenAPI)
	}
}

// What is really asked and answered is what the document says, and nothing else.
func TestAnswersAreDocumented(t *testing.T) {
	w := recorded(t)
	userService(w)
	f := newFixture(t, map[string]*world{acme: w})
	doc := openDocument(t)
	paths := map[string]int{
		base + "?limit=1000": 200,
		base + "?outcome=failed&outcome=paused&since=12h&limit=1": 200,
		base + "?from=2026-01-02T15:04:05Z&to=2000000000":         200,
		base + "?limit=0":                     400,
		base + "/" + invocationID(1).String(): 404,
		"/api/invoscope/v1/openapi.yaml":      200,
	}
	for _, inv := range readTruth(t) {
		paths[base+"/"+inv.ID] = 200
		paths[base+"/"+inv.ID+"/links"] = 200
		paths[base+"/"+inv.ID+"/timeline?relatives=callers&relatives=callees&depth=8"] = 200
		paths[base+"/"+inv.ID+"/timeline?limit=1&follow=false"] = 200
	}
	for path, status := range paths {
		resp := f.get(t, acme, path)
		if resp.StatusCode != status {
			t.Errorf("%s: %s", path, resp.Status)
		}
		if err := doc.check(httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil), resp); err != nil {
			t.Error(path, err)
		}
	}
}

func TestStreamsAreDocumented(t *testing.T) {
	w := recorded(t)
	userService(w)
	f := newFixture(t, map[string]*world{acme: w})
	doc := openDocument(t)
	check := func(name string, line []byte) error {
		var v any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		return doc.Components.Schemas[name].Value.VisitJSON(v, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation())
	}
	body, err := io.ReadAll(f.get(t, acme, base+"/"+checkout+"/timeline", "Accept", ndjson).Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	for i, line := range lines {
		last := i == len(lines)-1
		if event, end := check("Event", line), check("End", line); (event == nil) == last || (end == nil) != last {
			t.Errorf("line %d of %d: %s: %v; %v", i+1, len(lines), line, event, end)
		}
	}
}

// The validator sees what isn't documented: this test's own test.
func TestUndocumentedAnswersAreSeen(t *testing.T) {
	doc := openDocument(t)
	const id = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"
	good := `"id":"` + id + `","outcome":"running","first_seen":"2026-01-02T15:04:05Z","last_seen":"2026-01-02T15:04:05.5Z","attempts_seen":0`
	facts := good + `,"final":false,"traces":[],"origin":"unknown","callees":[],"gaps":[]`
	span := `"span":{"trace_id":"0123456789abcdef0123456789abcdef","span_id":"0123456789abcdef","name":"x","end":"2026-01-02T15:04:05Z","status":"ok"`
	event := `"kind":"span","time":"2026-01-02T15:04:05Z","relation":"self",` + span
	for _, tt := range []struct {
		path, query, body string
		ok                bool
	}{
		{"", "", `{"invocations":[{` + good + `}]}`, true},
		{"", "?limit=7", `{"invocations":[],"next":"x"}`, true},
		{"", "", `{"invocations":[],"more":1}`, false},
		{"", "", `{"invocations":[{"id":"x"}]}`, false},
		{"", "", `{"invocations":[{` + good + `,"more":1}]}`, false},
		{"", "", `{"invocations":[{` + good + `,"error":{"at":"yesterday"}}]}`, false},
		{"", "", `{}`, false},
		{"", "?limit=0", `{"invocations":[]}`, false},
		{"/" + id, "", "{" + facts + "}", true},
		{"/" + id, "", "{" + facts + `,"more":1}`, false},
		{"/" + id, "", "{" + facts + `,"caller":"inv_1"}`, false},
		{"/" + id, "", "{" + good + "}", false},
		{"/" + id + "/timeline", "", `{"events":[{` + event + `}}],"gaps":[]}`, true},
		{"/" + id + "/timeline", "", `{"events":[{` + event + `,"attributes":{"a.b":[1]}}}],"gaps":[]}`, true},
		{"/" + id + "/timeline", "", `{"events":[{` + event + `,"more":1}}],"gaps":[]}`, false},
		{"/" + id + "/timeline", "", `{"events":[{` + event + `,"events":[{"name":"x","time":"2026-01-02T15:04:05Z","more":1}]}}],"gaps":[]}`, false},
		{"/" + id + "/timeline", "?follow=perhaps", `{"events":[],"gaps":[]}`, false},
		{"/" + id + "/other", "", "{}", false},
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.WriteString(tt.body)
		err := doc.check(httptest.NewRequestWithContext(t.Context(), http.MethodGet, base+tt.path+tt.query, nil), w.Result())
		if (err == nil) != tt.ok {
			t.Errorf("%s%s %s: %v", tt.path, tt.query, tt.body, err)
		}
	}
}
