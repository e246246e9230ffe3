package relay

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/endpoints.md anew")

// TestEndpointsAreDocumented keeps docs/endpoints.md what the table says.
func TestEndpointsAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Endpoints

Everything that the public port answers, generated from the table in
[relay/routes.go](../relay/routes.go) (` + "`go test ./relay -update`" + `). Any other path is 404.
The OTLP/HTTP port serves the rows marked OTLP, the OTLP/gRPC port the two
` + "`Export`" + ` methods.

| method | path | scope | |
|---|---|---|---|
`)
	for _, r := range Routes() {
		scope, note := "none", ""
		if r.Scope != "" {
			scope = "`" + string(r.Scope) + "`"
		}
		if r.OTLP {
			note = "OTLP"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", strings.ReplaceAll(r.Methods, " ", ", "), r.Pattern, scope, note)
	}
	file := filepath.Join("..", "docs", "endpoints.md")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), b.String()); diff != "" {
		t.Errorf("docs/endpoints.md is not what the table says; run go test ./relay -update:\n%s", diff)
	}
}
