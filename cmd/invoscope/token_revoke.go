package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

// tokenRevokeCmd is `invoscope token revoke`.
type tokenRevokeCmd struct {
	storeFlags   `embed:""`
	ID           string `arg:"" optional:"" help:"The token's id, as list and inspect show it; the jti of a token of another issuer."`
	Subject      string `placeholder:"NAME" help:"All tokens of this subject."`
	IssuedBefore moment `placeholder:"TIME|AGE" help:"All tokens that were issued before: a time such as 2026-11-23T12:00:00Z, an age such as 12h or 7d, or now. Default: now, unless an ID is given."`
	Tenant       string `placeholder:"NAME" help:"Of these only the ones that open this tenant's data."`
	Issuer       string `placeholder:"NAME" help:"Of these only the ones of this issuer (iss); Invoscope's own is invoscope."`
	Why          string `placeholder:"TEXT" help:"A note that is kept with it."`
	Until        moment `placeholder:"TIME|DURATION" help:"When this may be forgotten, and what hasn't expired by then is accepted again. Default: never, or for a token that was issued here when it has expired."`
}

// Help is shown by invoscope token revoke --help.
func (*tokenRevokeCmd) Help() string {
	return `Give an ID, --subject or --issued-before; what is given together must all be true of a token.
Tokens that are issued afterwards are not hit, so a subject can be given a new one. An issuer other than Invoscope must be told, too, or it goes on issuing them.`
}

// Run revokes, and says what that means.
func (c *tokenRevokeCmd) Run(g *globals) error {
	r, err := c.revocation(g.now())
	if err != nil {
		return codedError{err, exitUsage}
	}
	s, err := c.open(g)
	if err != nil {
		return err
	}
	tokens, err := s.Tokens()
	if err != nil {
		return err
	}
	ours := slices.ContainsFunc(tokens, func(t store.Token) bool { return t.ID == r.TokenID })
	if ours && r.Issuer == "" {
		r.Issuer = tenancy.OwnIssuer
	}
	var until time.Time
	if c.Until.set {
		until = c.Until.after(g.now())
	}
	added, err := s.Revoke(r, c.Why, until)
	if err != nil {
		return err
	}
	verb := "revoked"
	if !added {
		verb = "revoked already"
	}
	fmt.Fprintf(g.stdout, "%s: %s\n", verb, timeline.Clean(describeRevocation(r)))
	if c.ID != "" && !ours {
		fmt.Fprintln(g.stdout, "It is none of the tokens that `invoscope token list` shows; a token of another issuer is refused when it comes.")
		return nil
	}
	fmt.Fprintln(g.stdout, hitText(r, tokens))
	return nil
}

func (c *tokenRevokeCmd) revocation(now time.Time) (tenancy.Revocation, error) {
	r := tenancy.Revocation{TokenID: c.ID, Subject: c.Subject, Issuer: c.Issuer, Tenant: c.Tenant}
	switch {
	case c.ID == "" && c.Subject == "" && !c.IssuedBefore.set:
		return r, errors.New("which tokens? Give an ID, --subject or --issued-before (now is all that there are)")
	case looksLikeToken(c.ID):
		return r, errIsToken
	case c.Until.set && !c.Until.after(now).After(now):
		return r, errors.New("--until: that is past")
	}
	if c.IssuedBefore.set || c.ID == "" {
		r.IssuedBefore = c.IssuedBefore.before(now)
	}
	// Another issuer's clock may be ahead.
	if r.IssuedBefore.After(now) && (r.Issuer == "" || r.Issuer == tenancy.OwnIssuer) {
		return r, errors.New("--issued-before: that is to come; a token that isn't issued yet can't be revoked")
	}
	return r, nil
}

// describeRevocation says which tokens are meant.
func describeRevocation(r tenancy.Revocation) string {
	what := []string{"tokens"}
	if r.TokenID != "" {
		what = []string{"token " + r.TokenID}
	}
	for _, one := range []struct{ text, value string }{
		{"of subject", r.Subject}, {"of tenant", r.Tenant}, {"of issuer", r.Issuer},
	} {
		if one.value != "" {
			what = append(what, one.text, one.value)
		}
	}
	if !r.IssuedBefore.IsZero() {
		what = append(what, "issued before", r.IssuedBefore.UTC().Format(time.RFC3339))
	}
	return strings.Join(what, " ")
}

// hitText says which listed tokens are hit.
func hitText(r tenancy.Revocation, tokens []store.Token) string {
	if r.Issuer != "" && r.Issuer != tenancy.OwnIssuer {
		return "Tokens of another issuer aren't listed; they are refused when they come."
	}
	n, own := 0, false
	for i := range tokens {
		if r.Names(tokens[i].Identity()) {
			n++
			own = own || tokens[i].Subject == store.OwnSubject
		}
	}
	text := plural(n, "listed token") + " hit."
	if own {
		text += " The daemon's own is among them: while it runs, it makes itself a new one."
	}
	if r.Issuer == "" {
		text += " Tokens of other issuers are hit, too; --issuer invoscope leaves them out."
	}
	return text
}
