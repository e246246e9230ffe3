package invocation

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/schema_validation"
)

func openDocument(t *testing.T) (libopenapi.Document, validator.Validator) {
	t.Helper()
	doc, err := libopenapi.NewDocument(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc, config.WithoutSecurityValidation(), config.WithFormatAssertions(), config.WithStrictMode(),
		// What has any names is declared as such, which strict mode doesn't see.
		config.WithStrictIgnorePaths("$.body.events[*].log.labels.*", "$.body.events[*].log.metadata.*"))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return doc, v
}

func TestDocumentIsOpenAPI(t *testing.T) {
	doc, v := openDocument(t)
	if doc.GetVersion() != "3.1.0" {
		t.Errorf("version %s", doc.GetVersion())
	}
	if ok, errs := v.ValidateDocument(); !ok {
		for _, e := range errs {
			t.Error(e, e.SchemaValidationErrors)
		}
	}
}

// What is really asked and answered is what the document says, and nothing else.
func TestAnswersAreDocumented(t *testing.T) {
	w := recorded(t)
	userService(w)
	f := newFixture(t, map[string]*world{acme: w})
	_, v := openDocument(t)
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
		r := httptest.NewRequest(http.MethodGet, path, nil)
		resp := f.get(t, acme, path)
		if resp.StatusCode != status {
			t.Errorf("%s: %s", path, resp.Status)
		}
		if ok, errs := v.ValidateHttpResponse(r, resp); !ok {
			for _, e := range errs {
				// The same, whose patterns don't match names with dots.
				if !strings.Contains(e.Message, ".attributes['") {
					t.Error(path, e, e.SchemaValidationErrors)
				}
			}
		}
		if status == http.StatusBadRequest {
			continue
		}
		if ok, errs := v.ValidateHttpRequest(r); !ok {
			t.Error(path, errs)
		}
	}
}

func TestStreamsAreDocumented(t *testing.T) {
	w := recorded(t)
	userService(w)
	f := newFixture(t, map[string]*world{acme: w})
	doc, _ := openDocument(t)
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	schemas := schema_validation.NewSchemaValidator()
	check := func(name string, line []byte) bool {
		ok, _ := schemas.ValidateSchemaBytes(model.Model.Components.Schemas.GetOrZero(name).Schema(), line)
		return ok
	}
	body, err := io.ReadAll(f.get(t, acme, base+"/"+checkout+"/timeline", "Accept", ndjson).Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	for i, line := range lines {
		last := i == len(lines)-1
		if check("Event", line) == last || check("End", line) != last {
			t.Errorf("line %d of %d: %s", i+1, len(lines), line)
		}
	}
}

// The validator sees what isn't documented: this test's own test.
func TestUndocumentedAnswersAreSeen(t *testing.T) {
	_, v := openDocument(t)
	for _, body := range []string{`{"invocations":[],"more":1}`, `{"invocations":[{"id":"x"}]}`, `{}`} {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.WriteString(body)
		if ok, _ := v.ValidateHttpResponse(httptest.NewRequest(http.MethodGet, base, nil), w.Result()); ok {
			t.Errorf("%s passes", body)
		}
	}
}
