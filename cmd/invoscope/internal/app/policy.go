package app

import (
	"github.com/invoscope/invoscope/tenancy"
)

// policy is what the configuration and the data directory say of who may do what.
func (a *App) policy() tenancy.Policy {
	return tenancy.Policy{Issuers: []tenancy.Issuer{tenancy.Own(a.key.Keys())}, HostSuffix: a.cfg.Tenancy.HostSuffix}
}
