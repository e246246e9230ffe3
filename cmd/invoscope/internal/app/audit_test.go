package app

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAuditLogAcrossReloads turns queries on while the daemon runs, and moves the file
// away as logrotate does.
func TestAuditLogAcrossReloads(t *testing.T) {
	d := startFile(t, "audit: {file: DIR/audit.log}\n", nil)
	token := d.token("acme")
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	ask := func(query string) {
		if code, body := get(t, d.HTTP+"/loki/api/v1/query_range?query=%7Ba%3D%22"+query+"%22%7D", token); code != http.StatusOK {
			t.Fatalf("%d %s", code, body)
		}
	}
	ask("unsaid")
	d.configure("audit: {file: DIR/audit.log, queries: true}\n")
	eventually(t, func() string {
		ask("said")
		if text := read("audit.log"); !strings.Contains(text, "said") {
			return text
		}
		return ""
	})
	if text := read("audit.log"); strings.Contains(text, "unsaid") || strings.Contains(text, token) {
		t.Errorf("the log tells too much:\n%s", text)
	}
	if err := os.Rename(filepath.Join(d.dir, "audit.log"), filepath.Join(d.dir, "audit.1")); err != nil {
		t.Fatal(err)
	}
	d.Reload()
	eventually(t, func() string {
		ask("later")
		if _, err := os.Stat(filepath.Join(d.dir, "audit.log")); err != nil {
			return err.Error()
		}
		return ""
	})
	eventually(t, func() string {
		ask("latest")
		if text := read("audit.log"); !strings.Contains(text, "latest") {
			return text
		}
		return ""
	})
	if strings.Contains(read("audit.1"), "latest") {
		t.Error("the old file goes on")
	}
}
