package invocation

import (
	_ "embed" // the document
	"net/http"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI answers the description of this API.
func (a *API) OpenAPI(w http.ResponseWriter, _ *http.Request, _ string) error {
	w.Header().Set("Content-Type", "application/yaml") // RFC 9512
	_, _ = w.Write(openAPI)                            // a client that has gone away can't be told
	return nil
}
