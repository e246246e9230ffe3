package keyset

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

const (
	fetchTimeout = 10 * time.Second // of all requests of a fetch
	maxRedirects = 3
)

// fetch asks for the keys.
func (s *Set) fetch(ctx context.Context) (keys []tenancy.PublicKey, skipped []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	defer s.client.CloseIdleConnections() // the next fetch is far away
	address := s.opts.JWKSURL
	if s.opts.Discovery {
		if address, err = s.discover(ctx); err != nil {
			return nil, nil, fmt.Errorf("discover the key set: %w", err)
		}
	}
	data, err := get(ctx, s.client, address)
	if err != nil {
		return nil, nil, fmt.Errorf("get the key set: %w", err)
	}
	keys, skipped, err = parseJWKS(data, false)
	if err != nil && len(skipped) > 0 {
		err = fmt.Errorf("%w: %s", err, list(skipped))
	}
	return keys, skipped, err
}

// discover returns where the issuer says that its key set is (OpenID Connect Discovery
// 1.0, section 4).
func (s *Set) discover(ctx context.Context) (string, error) {
	data, err := get(ctx, s.client, strings.TrimSuffix(s.opts.Issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	var said struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(data, &said); err != nil {
		return "", fmt.Errorf("not a discovery document: %.100s", err.Error())
	}
	// Section 4.3: they must be the same, so that nobody answers for somebody else.
	if said.Issuer != s.opts.Issuer {
		return "", fmt.Errorf("it is of the issuer %.200q", said.Issuer)
	}
	from, err := url.Parse(s.opts.Issuer)
	if err != nil {
		return "", err
	}
	to, err := url.Parse(said.JWKSURI)
	if err != nil {
		return "", errors.New("jwks_uri is not a URL")
	}
	if err := allowed(from, to); err != nil {
		return "", fmt.Errorf("jwks_uri %.200q: %w", bare(to), err)
	}
	return said.JWKSURI, nil
}

// get returns the body of a good answer.
func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		// The client names the whole URL, and the query may be a secret.
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("%s: %.300s", bare(req.URL), err.Error())
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered with status %d", bare(req.URL), resp.StatusCode)
	}
	data, err := readAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", bare(req.URL), err)
	}
	return data, nil
}

// newClient returns the client of one set, whose servers the authorities in caFile vouch for.
func newClient(caFile string) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		data, _, err := readFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %s: %w", caFile, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("read ca_file: %s: no certificate in it", caFile)
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        config,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(to *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			if err := allowed(via[len(via)-1].URL, to.URL); err != nil {
				return fmt.Errorf("redirect to %.200q: %w", bare(to.URL), err)
			}
			to.Header.Del("Referer") // has the query of the URL before, which may be a secret
			return nil
		},
	}, nil
}

// CheckURL returns why keys can't be fetched from a URL, or nil.
func CheckURL(address string) error {
	_, err := checkURL(kindURL, address)
	return err
}

// CheckIssuer returns why the keys of an issuer can't be discovered at its name, or nil.
func CheckIssuer(name string) error {
	_, err := checkURL(kindDiscovery, name)
	return err
}

// checkURL checks a URL of the configuration and returns it without its query.
func checkURL(k kind, address string) (string, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return "", errors.New("not an absolute URL")
	case u.User != nil:
		return "", errors.New("a URL with a password would be sent and logged; leave it out")
	case u.Fragment != "":
		return "", errors.New("a URL with a fragment")
	case k == kindDiscovery && (u.RawQuery != "" || u.ForceQuery):
		return "", errors.New("an issuer's URL has no query")
	}
	if err := allowed(u, u); err != nil {
		return "", fmt.Errorf("%s: %w", bare(u), err)
	}
	return bare(u), nil
}

// allowed refuses what could be read or changed on the way, or would lead from somebody
// else's server to one on this host.
func allowed(from, to *url.URL) error {
	switch {
	case to.Host == "" || to.User != nil:
		return errors.New("not an absolute URL without a password")
	case to.Scheme == "https":
		return nil
	case to.Scheme != "http" || !loopback(to.Hostname()):
		return errors.New("want https, or http at a loopback host")
	case from.Scheme != "http":
		return errors.New("leads from https to http")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// bare is u without what may be secret.
func bare(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
