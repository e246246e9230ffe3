package runinfo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

const fileName = "run.json"

// Info is what run.json says. Its keys are relied on by scripts.
type Info struct {
	HTTP      string `json:"http"`       // base URL of the public API, such as http://127.0.0.1:3100
	OTLPGRPC  string `json:"otlp_grpc"`  // host:port
	OTLPHTTP  string `json:"otlp_http"`  // base URL
	Admin     string `json:"admin"`      // base URL of metrics and health
	Tenant    string `json:"tenant"`     // the tenant of the token in TokenFile
	TokenFile string `json:"token_file"` // path of the daemon's own token
	// CertFile is the path of the certificate that the public ports show; empty, and
	// left out, without TLS.
	CertFile string `json:"cert_file,omitempty"`
}

// Read returns what run.json in the data directory dir says. When no daemon
// has written one, the error is fs.ErrNotExist in its chain.
func Read(dir string) (Info, error) {
	path := filepath.Join(dir, fileName)
	data, err := os.ReadFile(path)
	if err != nil {
		return Info{}, fmt.Errorf("read run information: %w", err)
	}
	var info Info
	if err := json.Unmarshal(data, &info); err != nil {
		return Info{}, fmt.Errorf("read run information %s: %w", path, err)
	}
	return info, nil
}

// Write puts info into run.json in the data directory dir. Readers see the old
// file or the new one, never a part.
func Write(dir string, info Info) error {
	data, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return fmt.Errorf("write run information: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(dir, fileName), append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write run information: %w", err)
	}
	return nil
}

// Remove deletes run.json from the data directory dir, if it is there.
func Remove(dir string) error {
	if err := os.Remove(filepath.Join(dir, fileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove run information: %w", err)
	}
	return nil
}
