package config

import (
	"slices"
	"testing"
)

func TestDifferences(t *testing.T) {
	a, b := Default(), Default()
	b.Index.Tenants = map[string]TenantIndex{}
	if got := a.Differences(b); got != nil {
		t.Errorf("of equals: %v", got)
	}
	b.DataDir, b.Listen.TLS.KeyFile, b.Engines.Loki.Headers = "x", "k", map[string]Secret{"a": "b"}
	b.Tenancy.Issuers = []Issuer{{Issuer: "i"}}
	want := []string{"data_dir", "listen.tls.key_file", "tenancy.issuers", "engines.loki.headers"}
	if got := a.Differences(b); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
