module github.com/invoscope/invoscope/test/oidc

go 1.26.7

require github.com/zitadel/oidc/v3 v3.52.0 // indirect
