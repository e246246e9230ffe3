package runinfo_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
)

func TestWriteReadRemove(t *testing.T) {
	dir := t.TempDir()
	want := runinfo.Info{
		HTTP: "http://127.0.0.1:3100", OTLPGRPC: "127.0.0.1:4317", OTLPHTTP: "http://127.0.0.1:4318",
		Admin: "http://127.0.0.1:9464", Tenant: "default", TokenFile: filepath.Join(dir, "token"),
	}
	for range 2 { // the second one replaces the first
		if err := runinfo.Write(dir, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := runinfo.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantKeys(t, filepath.Join(dir, "run.json"), "http", "otlp_grpc", "otlp_http", "admin", "tenant", "token_file")

	for range 2 { // the second one finds nothing
		if err := runinfo.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := runinfo.Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read after Remove: %v, want fs.ErrNotExist", err)
	}
}

func TestReadBroken(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "run.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runinfo.Read(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read = %v, want an error that isn't fs.ErrNotExist", err)
	}
}

func wantKeys(t *testing.T, path string, keys ...string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]string
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if object[k] == "" {
			t.Errorf("no key %q in %s", k, data)
		}
	}
	if len(object) != len(keys) {
		t.Errorf("keys %s, want %v", data, keys)
	}
}
