package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRepairTempoLog(t *testing.T) {
	for name, tt := range map[string]struct {
		folder, meta string
		page         string
		repaired     bool
	}{
		"truncated":          {"wal", "", "rows", true},
		"half written":       {"wal", `{"format":"vParquet4",`, "rows", true},
		"missing":            {"wal", "-", "rows", true},
		"of the generator":   {"generator/traces/acme", "", "rows", true},
		"healthy":            {"wal", `{"format":"vParquet4"}`, "rows", false},
		"nothing flushed":    {"wal", "-", "", false},
		"empty page flushed": {"wal", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			block := filepath.Join(dir, filepath.FromSlash(tt.folder), "f92c7276-e018-4c92-b4d5-e62a6f3fd805+acme+vParquet4")
			if err := os.MkdirAll(block, 0o700); err != nil {
				t.Fatal(err)
			}
			meta := filepath.Join(block, "meta.json")
			if tt.meta != "-" {
				if err := os.WriteFile(meta, []byte(tt.meta), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(block, "0000000001"), []byte(tt.page), 0o600); err != nil {
				t.Fatal(err)
			}
			repaired, err := repairTempoLog(dir, 24*time.Hour)
			if err != nil || (len(repaired) == 1) != tt.repaired {
				t.Fatalf("repaired %q, %v", repaired, err)
			}
			if !tt.repaired {
				return
			}
			content, err := os.ReadFile(meta)
			if err != nil || !strings.Contains(string(content), `"blockID":"f92c7276-e018-4c92-b4d5-e62a6f3fd805","tenantID":"acme"`) {
				t.Errorf("meta.json is %q, %v", content, err)
			}
		})
	}
}
