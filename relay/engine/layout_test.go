package engine

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestLayout(t *testing.T) {
	long := "/" + strings.Repeat("d", 120)
	tests := map[string]struct {
		dir   string
		short bool
	}{
		"sockets are with the data": {"/srv/invoscope/loki", false},
		"a long path":               {long, true},
		"a colon":                   {"/srv/a:b", true},
		"a percent sign":            {"/srv/a%b", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, err := newLayout(tt.dir)
			if err != nil {
				t.Fatal(err)
			}
			if inside := l.SocketDir == filepath.Join(tt.dir, "run"); inside == tt.short {
				t.Errorf("the sockets are in %s", l.SocketDir)
			}
			if len(l.HTTPFile) >= maxSocketPath || len(l.OTLPSocket) >= maxSocketPath {
				t.Errorf("too long: %s, %s", l.HTTPFile, l.OTLPSocket)
			}
			if l.HTTPFile != l.HTTPSocket+":80" {
				t.Errorf("the engine would listen on %s", l.HTTPFile)
			}
			again, err := newLayout(tt.dir)
			if err != nil || again != l {
				t.Errorf("not the same again: %+v: %v", again, err)
			}
			other, err := newLayout(tt.dir + "2")
			if err != nil || other.SocketDir == l.SocketDir {
				t.Errorf("two data directories share %s: %v", other.SocketDir, err)
			}
		})
	}
}

// TestLongPathWorks listens on the sockets that a long data directory gets.
func TestCommaInTheDataDirectoryIsRefused(t *testing.T) {
	if _, err := newLayout("/srv/a,b"); err == nil || !strings.Contains(err.Error(), "comma") {
		t.Errorf("%v", err)
	}
}

func TestLongPathWorks(t *testing.T) {
	l, err := newLayout(filepath.Join(t.TempDir(), strings.Repeat("d", 120)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(l.SocketDir) })
	for range 2 { // the second time over what the first left
		if err := l.create(); err != nil {
			t.Fatal(err)
		}
		if err := l.removeSockets(); err != nil {
			t.Fatal(err)
		}
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.HTTPFile, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		listener.SetUnlinkOnClose(false)
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSocketDirectoryMustBeOurs(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(dir string) error
		want string
	}{
		"ours":    {func(dir string) error { return os.Mkdir(dir, 0o700) }, ""},
		"open":    {func(dir string) error { return os.Mkdir(dir, 0o755) }, "open to others"},
		"symlink": {func(dir string) error { return os.Symlink(os.TempDir(), dir) }, "not a directory"},
		"file":    {func(dir string) error { return os.WriteFile(dir, nil, 0o700) }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := newLayout(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			l.setSocketDir(filepath.Join(l.DataDir, "sockets"))
			if err := tt.make(l.SocketDir); err != nil {
				t.Fatal(err)
			}
			err = l.create()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestConfigurations: whatever the paths are, both are YAML that means them.
func TestConfigurations(t *testing.T) {
	for name, text := range map[string]string{"loki": lokiTemplate, "tempo": tempoTemplate} {
		for _, dir := range []string{"/srv/data", `/srv/it's "a" #dir: {x} \ é <&>`, "/srv/\nx: y"} {
			l, err := newLayout(dir)
			if err != nil {
				t.Fatal(err)
			}
			data, err := render(text, settings{layout: l, GRPCPort: 4711, Retention: 336})
			if err != nil {
				t.Fatal(err)
			}
			var config struct {
				Server struct {
					Network string `yaml:"http_listen_network"`
					Address string `yaml:"http_listen_address"`
					GRPC    string `yaml:"grpc_listen_address"`
					Port    int    `yaml:"grpc_listen_port"`
				}
				Common struct {
					PathPrefix string `yaml:"path_prefix"`
				}
				Runtime   struct{ File string } `yaml:"runtime_config"`
				Overrides struct {
					File string `yaml:"per_tenant_override_config"`
				}
			}
			if err := yaml.Unmarshal(data, &config); err != nil {
				t.Fatalf("%s in %q: %v", name, dir, err)
			}
			if s := config.Server; s.Network != "unix" || s.Address != l.HTTPSocket || s.GRPC != "127.0.0.1" || s.Port != 4711 {
				t.Errorf("%s listens on %+v", name, s)
			}
			if got := config.Runtime.File + config.Overrides.File; got != l.Overrides {
				t.Errorf("%s reads its overrides from %q", name, got)
			}
			if name == "loki" && config.Common.PathPrefix != dir {
				t.Errorf("data in %q, want %q", config.Common.PathPrefix, dir)
			}
		}
	}
}

// TestWriteConfigKeepsOverrides: the file of overrides is somebody else's.
func TestWriteConfigKeepsOverrides(t *testing.T) {
	l, err := newLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write := func() {
		t.Helper()
		if err := writeConfig(lokiTemplate, 48*60*60*1e9, l); err != nil {
			t.Fatal(err)
		}
	}
	write()
	info, err := os.Stat(l.Config)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
	if data, err := os.ReadFile(l.Config); err != nil || !strings.Contains(string(data), "retention_period: 48h\n") {
		t.Errorf("the retention is missing: %v", err)
	} else if !strings.Contains(string(data), "max_chunk_age: 192h\n") { // twice 48h + 24h + 24h
		t.Error("entries of the whole retention don't fit into one stream")
	}
	const theirs = "overrides: {acme: {}}\n"
	if err := os.WriteFile(l.Overrides, []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	write()
	if data, err := os.ReadFile(l.Overrides); err != nil || string(data) != theirs {
		t.Errorf("the overrides became %q: %v", data, err)
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"PATH=/bin", "OTEL_TRACES_EXPORTER=otlp", "INVOSCOPE_TOKEN=x", "NOTIFY_SOCKET=y", "AWS_REGION=z", "ODD"})
	if want := "PATH=/bin AWS_REGION=z ODD"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
