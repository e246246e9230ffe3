// Command oidc is an OpenID provider for tests: github.com/zitadel/oidc with the storage
// of its own example, but for the keys, which it signs with as it is told:
//
//	POST /rotate?alg=ES256   sign with a new key from now on; the others stay published
//	POST /retire             publish none but the key that signs
//
// Both are on a second port. The keys are kept in a folder, so that a provider that is
// started again there has the same. Tokens come from the client credentials grant of the
// example's service user "sid1", as JWTs with the claims of the command line and the
// scopes that are asked for.
//
// Nobody needs to know anything to ask for a new key: it listens on loopback addresses
// only, and is no provider for anything but tests.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "oidc:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "`address` to serve on; port 0 picks a free one")
	dir := flag.String("dir", "", "`folder` of the keys and of provider.json, which says where it is served")
	audience := flag.String("audience", "invoscope", `"aud" of the tokens`)
	claims := flag.String("claims", "{}", "`JSON` object of more claims of the tokens")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	public, err := listenLocally(*listen)
	if err != nil {
		return err
	}
	control, err := listenLocally("127.0.0.1:0")
	if err != nil {
		return err
	}
	issuer := "http://" + public.Addr().String()
	store := &store{Storage: storage.NewStorage(storage.NewUserStore(issuer)), keys: keys(*dir), audience: *audience}
	if err := json.Unmarshal([]byte(*claims), &store.claims); err != nil {
		return fmt.Errorf("read -claims: %w", err)
	}
	if all, err := store.keys.all(); err != nil {
		return err
	} else if len(all) == 0 {
		if err := store.keys.rotate("RS256"); err != nil {
			return err
		}
	}
	handler, err := newProvider(issuer, store)
	if err != nil {
		return err
	}
	if err := announce(*dir, map[string]string{"issuer": issuer, "control": "http://" + control.Addr().String()}); err != nil {
		return err
	}
	return serve(ctx, map[net.Listener]http.Handler{public: handler, control: store.keys.handler()})
}

func newProvider(issuer string, store op.Storage) (http.Handler, error) {
	config := &op.Config{} // of what it encrypts nothing outlives it
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		return nil, err
	}
	return op.NewProvider(config, store, op.StaticIssuer(issuer), op.WithAllowInsecure())
}

// listenLocally refuses addresses that others can reach.
func listenLocally(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		_ = l.Close()
		return nil, fmt.Errorf("%s is not a loopback address", address)
	}
	return l, nil
}

// announce writes provider.json, whole from the first moment it is there.
func announce(dir string, content map[string]string) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "provider.json")
	if err := os.WriteFile(path+".tmp", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// serve serves until ctx ends.
func serve(ctx context.Context, handlers map[net.Listener]http.Handler) error {
	ended := make(chan error, len(handlers))
	var servers []*http.Server
	for l, h := range handlers {
		s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
		servers = append(servers, s)
		go func() { ended <- s.Serve(l) }()
	}
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	for _, s := range servers {
		err = errors.Join(err, s.Close())
	}
	return err
}
