package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxSocketPath is the room for a unix socket's path, its closing NUL
// included: 108 bytes on Linux, 104 on Darwin.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path)

// socketPort is the port that both engines add to their HTTP socket's name.
const socketPort = "80"

// layout is where the files of an embedded engine are. All paths are absolute.
type layout struct {
	DataDir   string
	Config    string // written at each start
	Overrides string // limits of single tenants; see SetOverrides
	Lock      string // held by the daemon
	ChildLock string // held by the child; holds its process group

	SocketDir  string // 0700 and ours
	HTTPSocket string // as configured; the file is HTTPFile
	HTTPFile   string
	OTLPSocket string
	SocketPort string
}

func newLayout(dataDir string) (layout, error) {
	if dataDir == "" {
		return layout{}, errors.New("no data directory")
	}
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return layout{}, fmt.Errorf("locate the data directory: %w", err)
	}
	if strings.Contains(dir, ",") {
		return layout{}, fmt.Errorf("the data directory %q has a comma, which separates file names in Loki's -config.file", dir)
	}
	l := layout{
		DataDir:    dir,
		Config:     filepath.Join(dir, "config.yaml"),
		Overrides:  filepath.Join(dir, "overrides.yaml"),
		Lock:       filepath.Join(dir, "lock"),
		ChildLock:  filepath.Join(dir, "child.lock"),
		SocketPort: socketPort,
	}
	// A short name that a later start finds again, and that two users or two data
	// directories don't share.
	sum := sha256.Sum256([]byte(strconv.Itoa(os.Getuid()) + "\x00" + dir))
	short := "invoscope-" + hex.EncodeToString(sum[:8])
	candidates := []string{filepath.Join(dir, "run"), filepath.Join(os.TempDir(), short), filepath.Join("/tmp", short)}
	for _, socketDir := range candidates {
		l.setSocketDir(socketDir)
		if strings.ContainsAny(socketDir, ":%") {
			continue // net.JoinHostPort would put it in brackets
		}
		if len(l.HTTPFile) < maxSocketPath && len(l.OTLPSocket) < maxSocketPath {
			return l, nil
		}
	}
	return layout{}, fmt.Errorf("no directory whose path can name a socket (at most %d bytes, without colons)", maxSocketPath-1)
}

func (l *layout) setSocketDir(dir string) {
	l.SocketDir = dir
	l.HTTPSocket = filepath.Join(dir, "http.sock")
	// The engines listen on net.JoinHostPort of address and port, whatever the network.
	l.HTTPFile = net.JoinHostPort(l.HTTPSocket, socketPort)
	l.OTLPSocket = filepath.Join(dir, "otlp.sock")
}

// create makes the directories. The one of the sockets is what keeps other
// local users away from the engine, so it has to be ours alone.
func (l layout) create() error {
	if err := os.MkdirAll(l.DataDir, 0o700); err != nil {
		return fmt.Errorf("create the data directory: %w", err)
	}
	if err := os.Mkdir(l.SocketDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create the directory of the sockets: %w", err)
	}
	return checkPrivate(l.SocketDir)
}

// checkPrivate refuses a directory that isn't ours or that others may enter.
func checkPrivate(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check the directory of the sockets: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case !ok || int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user", dir)
	case info.Mode().Perm() != 0o700:
		return fmt.Errorf("%s is open to others (mode %04o, want 0700)", dir, info.Mode().Perm())
	}
	return nil
}

// removeSockets clears away what a previous child left: the engines refuse to
// listen where a file is.
func (l layout) removeSockets() error {
	for _, file := range []string{l.HTTPFile, l.OTLPSocket} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a stale socket: %w", err)
		}
	}
	return nil
}
