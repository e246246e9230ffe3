package app

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

// A file that is wrong elsewhere doesn't keep a token that was taken back in use.
func TestRevocationDoesNotWaitForOtherFiles(t *testing.T) {
	d := startFile(t, "tenancy: {tenants_file: DIR/tenants.yaml}\n", func(dir string) {
		put(t, filepath.Join(dir, "tenants.yaml"), "tenants: {acme: {queries_per_second: 100}}\n")
	})
	acme, globex := d.token("acme"), d.token("globex")
	d.awaitAnswer(acme, http.StatusOK)
	d.put("tenants.yaml", "none")
	d.awaitHealth("[-]reload failed")
	s := store.Open(d.dir, time.Now)
	if _, err := s.Revoke(tenancy.Revocation{Subject: "s-acme"}, "test", time.Time{}); err != nil {
		t.Fatal(err)
	}
	d.awaitAnswer(acme, http.StatusUnauthorized)
	d.awaitAnswer(globex, http.StatusOK)
	d.awaitHealth("[-]reload failed")
	if log := d.log.String(); strings.Count(log, "what was revoked is in force") != 1 {
		t.Error("the log says: ", log)
	}

	// Nor does it come back with what can't be read.
	d.put("revocations.json", "none")
	d.put("tenants.yaml", "{}")
	d.awaitHealth("[-]reload failed")
	d.awaitAnswer(acme, http.StatusUnauthorized)
}
