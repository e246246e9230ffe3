//go:build integration && linux

package engine_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestListensOnLoopbackOnly looks at all sockets of the children.
func TestListensOnLoopbackOnly(t *testing.T) {
	for name := range makers {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			run(t, name, dir)
			for _, address := range listening(t, childPID(t, dir)) {
				if !address.Addr().IsLoopback() {
					t.Errorf("listens on %v", address)
				}
			}
			info, err := os.Stat(filepath.Dir(socket(t, dir, "http.sock:80")))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o700 {
				t.Errorf("the sockets' directory has mode %v", info.Mode())
			}
		})
	}
}

// listening are the TCP and UDP sockets on which a process listens, read from
// /proc.
func listening(t *testing.T, pid int) []netip.AddrPort {
	t.Helper()
	owned := make(map[string]bool)
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		t.Fatalf("no descriptors of process %d: %v", pid, err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, "socket:[") {
			owned[strings.Trim(target, "socket:[]")] = true
		}
	}
	var found []netip.AddrPort
	for table, state := range map[string]string{"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"} {
		text, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue // no IPv6
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == state && owned[fields[9]] {
				found = append(found, parseAddress(t, fields[1]))
			}
		}
	}
	if len(found) == 0 {
		t.Fatal("found no listening socket; is /proc/net readable?")
	}
	return found
}

// parseAddress reads the kernel's hexadecimal address:port, in words of the
// machine's byte order.
func parseAddress(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	host, portText, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	if !ok {
		t.Fatalf("address %q", text)
	}
	port, err := strconv.ParseUint(portText, 16, 16)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port))
}
