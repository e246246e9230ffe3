package config

import "strconv"

// Enabled reports whether the public ports are encrypted.
func (t TLS) Enabled() bool { return t.CertFile != "" || t.KeyFile != "" }

const (
	minConnections = 16
	maxConnections = 1_000_000
)

func (l Listen) problems(p problemList) {
	for below, addr := range map[string]string{".http": l.HTTP, ".otlp_grpc": l.OTLPGRPC, ".otlp_http": l.OTLPHTTP, ".admin": l.Admin} {
		p.check(validAddress(addr), below, "want host:port, not "+strconv.Quote(addr))
	}
	p.check(l.MaxConnections >= minConnections && l.MaxConnections <= maxConnections, ".max_connections", "must be between 16 and 1000000")
	l.TLS.problems(p.at(".tls"))
}

func (t TLS) problems(p problemList) {
	p.check(t.CertFile == "" || t.KeyFile != "", ".cert_file", "needs a key_file beside it")
	p.check(t.KeyFile == "" || t.CertFile != "", ".key_file", "needs a cert_file beside it")
	p.check(t.ClientCAFile == "" || t.Enabled(), ".client_ca_file", "needs TLS: set cert_file and key_file")
	p.check(!t.RequireClientCertificate || t.ClientCAFile != "", ".require_client_certificate", "needs a client_ca_file")
}

const (
	minAuditBytes = 64 << 10
	maxAuditFiles = 1000
)

func (a Audit) problems(p problemList) {
	p.check(a.MaxBytes >= minAuditBytes, ".max_bytes", "must be at least 64KiB")
	p.check(a.MaxFiles >= 1 && a.MaxFiles <= maxAuditFiles, ".max_files", "must be between 1 and 1000")
}
