package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	modulePath = "github.com/invoscope/invoscope"
	moduleRoot = ".."
)

// layer says which of our folders the packages of a folder may import beside
// the folder's own.
type layer struct {
	folder string
	may    []string
}

// layers goes from special to general: the first that covers a package holds.
var layers = []layer{
	{"internal/wire", nil},
	{"tenancy/limits", nil},
	{"tenancy/roster", []string{"tenancy"}},
	{"tenancy/store", []string{"tenancy"}},
	{"tenancy/redact", nil},
	{"tenancy/audit", []string{"tenancy"}},
	{"tenancy", nil},
	{"correlate/index/indextest", []string{"correlate/index"}},
	{"correlate/index/pebblestore", []string{"correlate/index"}},
	{"correlate/index/redisstore", []string{"correlate/index"}},
	{"correlate/index", []string{"correlate", "internal/wire"}},
	{"correlate", nil},
	{"grafana", nil},
	{"relay/engine", nil},
	{"relay/fault", nil},
	{"relay/queue", nil},
	{"relay/signal", nil},
	{"relay/ingest", []string{"correlate", "internal/wire", "relay/fault", "relay/queue"}},
	{"relay/rebuild", []string{"correlate/index", "relay/engine", "relay/fault"}},
	{"relay/invocation", []string{"correlate", "grafana", "internal/wire", "relay/engine", "relay/fault"}},
	{"relay", []string{"correlate", "internal/wire", "tenancy"}},
	{"cmd/invoscope/internal/runinfo", nil},
	{"cmd/invoscope/internal/trust", nil},
	{"cmd/invoscope/internal/filewatch", nil},
	{"cmd/invoscope/internal/ship", []string{"cmd/invoscope/internal/trust", "correlate", "relay/queue"}},
	{"cmd/invoscope", []string{"relay", "correlate", "grafana", "tenancy"}},
	{"test", nil},
}

// forbidden names packages that a folder must not import itself; with
// transitive set, nothing it imports may either.
var forbidden = []struct {
	folder     string
	imports    []string
	transitive bool
}{
	{folder: "grafana", imports: []string{"net/http"}, transitive: true},
	{folder: "grafana", imports: []string{"os", "os/exec", "net", "path/filepath"}},
	{folder: "correlate", imports: []string{"net/http", "os", "os/exec"}},
	{folder: "correlate/index", imports: []string{modulePath + "/correlate/index/pebblestore", modulePath + "/correlate/index/redisstore"}},
	{folder: "relay", imports: []string{"github.com/cockroachdb/pebble/v2", "github.com/redis/go-redis/v9"}},
}

// apachePackages are the packages of the AGPL modules that are licensed under
// Apache-2.0 (their LICENSING.md); see docs/adr/0008-license-boundary.md.
var apachePackages = []string{
	"github.com/grafana/loki/v3/pkg/logproto",
	"github.com/grafana/loki/v3/pkg/loghttp",
	"github.com/grafana/tempo/pkg/tempopb",
}

// goPackage is the part of `go list -json` that the rules need.
type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestDependencyDirection(t *testing.T) {
	for _, p := range listPackages(t) {
		folder, ours := folderOf(p.ImportPath)
		if !ours {
			continue
		}
		row := slices.IndexFunc(layers, func(l layer) bool { return within(folder, l.folder) })
		if row < 0 {
			t.Errorf("%s: no row of layers covers it", p.ImportPath)
			continue
		}
		allowed := append([]string{layers[row].folder}, layers[row].may...)
		for _, imported := range p.Imports {
			target, ours := folderOf(imported)
			if ours && !slices.ContainsFunc(allowed, func(a string) bool { return within(target, a) }) {
				t.Errorf("%s imports %s; it may import only %v", p.ImportPath, target, allowed)
			}
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	for _, p := range listPackages(t) {
		folder, _ := folderOf(p.ImportPath)
		for _, rule := range forbidden {
			if !within(folder, rule.folder) {
				continue
			}
			imports := p.Imports
			if rule.transitive {
				imports = p.Deps
			}
			for _, name := range rule.imports {
				if slices.Contains(imports, name) {
					t.Errorf("%s must not depend on %s (transitively: %t)", p.ImportPath, name, rule.transitive)
				}
			}
		}
	}
}

func TestLinksNoAGPLPackage(t *testing.T) {
	for _, p := range listPackages(t) {
		agpl := within(p.ImportPath, "github.com/grafana/loki/v3") || within(p.ImportPath, "github.com/grafana/tempo")
		if agpl && !slices.Contains(apachePackages, p.ImportPath) {
			t.Errorf("the root module links %s, which is not one of %v", p.ImportPath, apachePackages)
		}
	}
}

// TestDependencyRulesNameFolders keeps a renamed folder from switching a rule off.
func TestDependencyRulesNameFolders(t *testing.T) {
	var folders []string
	for _, l := range layers {
		folders = append(folders, l.folder)
	}
	for _, f := range forbidden {
		folders = append(folders, f.folder)
	}
	for _, folder := range folders {
		if info, err := os.Stat(filepath.Join(moduleRoot, folder)); err != nil || !info.IsDir() {
			t.Errorf("a rule names %q, which is not a folder", folder)
		}
	}
}

// listPackages answers the root module's packages and everything they link.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	touchSources(t)
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = moduleRoot
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// touchSources looks at every Go file, because `go test` caches a result until
// a file changes that the test itself has looked at.
func touchSources(t *testing.T) {
	t.Helper()
	walkSources(t, func(path string) {
		if strings.HasSuffix(path, ".go") || filepath.Base(path) == "go.mod" {
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		}
	})
}

// walkSources calls visit for every file of the repository that is not built,
// recorded or installed.
func walkSources(t *testing.T, visit func(path string)) {
	t.Helper()
	skip := []string{".git", ".cache", "bin", "data", "node_modules"}
	err := filepath.WalkDir(moduleRoot, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone since the folder was read
			return nil
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skip, d.Name()):
			return filepath.SkipDir
		case d.Type().IsRegular():
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func folderOf(importPath string) (folder string, ours bool) {
	return strings.CutPrefix(importPath, modulePath+"/")
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}
