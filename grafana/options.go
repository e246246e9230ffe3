package grafana

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// maxURL is Grafana's limit for a data source URL, in bytes; it doesn't start
// with a longer one.
const maxURL = 255

// Options is what differs between one set of data sources and another.
type Options struct {
	// URL is where Grafana reaches Invoscope: http or https, no user, query
	// or fragment, at most 255 bytes.
	URL string

	// Tenant names the data sources and their uids. Which tenant's data they
	// show is up to the token. [a-zA-Z0-9_-]{1,64}.
	Tenant string

	// Token is written into the file, which is then a secret.
	Token string

	// TokenEnv is written instead of a token: the name of an environment
	// variable of the Grafana server that holds it. Give one of the two.
	TokenEnv string

	// CACert is PEM: who vouches for the certificate of the URL's server, if Grafana's
	// system doesn't know. It is no secret.
	CACert string
}

func (o Options) validate() error {
	return errors.Join(validURL(o.URL), o.validTenant(), o.validToken(), o.validCACert())
}

func validURL(raw string) error {
	if len(raw) > maxURL {
		return fmt.Errorf("URL is longer than the %d bytes that Grafana allows", maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("URL is not an http:// or https:// URL")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("URL has a user, query or fragment")
	}
	return nil
}

var (
	tenantPattern  = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	tokenPattern   = regexp.MustCompile(`^[!-~]+$`)
	envNamePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (o Options) validTenant() error {
	if !tenantPattern.MatchString(o.Tenant) {
		return errors.New("tenant name is not valid")
	}
	return nil
}

func (o Options) validToken() error {
	switch {
	case (o.Token == "") == (o.TokenEnv == ""):
		return errors.New("give either a token or the name of an environment variable that holds it")
	case o.Token != "" && !tokenPattern.MatchString(o.Token):
		return errors.New("token has characters that a header can't carry")
	case o.TokenEnv != "" && !envNamePattern.MatchString(o.TokenEnv):
		return fmt.Errorf("%q is not the name of an environment variable", o.TokenEnv)
	}
	return nil
}

func (o Options) validCACert() error {
	if o.CACert == "" {
		return nil
	}
	if block, _ := pem.Decode([]byte(o.CACert)); block == nil || block.Type != "CERTIFICATE" {
		return errors.New("the authority's file holds no certificate in PEM")
	}
	return nil
}

// authorization is the header value as it stands in the file.
//
// The reference is $NAME, not ${NAME}: Grafana expands the braces first and
// then the result again, which would damage a token with a dollar sign.
func (o Options) authorization() string {
	if o.TokenEnv != "" {
		return "Bearer $" + o.TokenEnv
	}
	return "Bearer " + escape(o.Token)
}

// hasPath reports whether Invoscope is reached below a path of the URL.
func (o Options) hasPath() bool {
	u, err := url.Parse(o.URL)
	return err == nil && strings.Trim(u.Path, "/") != ""
}
