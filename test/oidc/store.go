package main

import (
	"context"
	"maps"
	"strings"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// store is the example's storage with other keys and claims.
type store struct {
	*storage.Storage
	keys     keys
	audience string
	claims   map[string]any
}

var (
	_ op.Storage                  = (*store)(nil)
	_ op.ClientCredentialsStorage = (*store)(nil)
)

// jwtClient gets its access tokens as JWTs.
type jwtClient struct{ op.Client }

func (jwtClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

// ClientCredentials implements [op.ClientCredentialsStorage].
func (s *store) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	client, err := s.Storage.ClientCredentials(ctx, id, secret)
	if err != nil {
		return nil, err
	}
	return jwtClient{client}, nil
}

// ClientCredentialsTokenRequest implements [op.ClientCredentialsStorage].
func (s *store) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return &oidc.JWTTokenRequest{Subject: id, Audience: []string{s.audience}, Scopes: scopes}, nil
}

// GetPrivateClaimsFromScopes implements [op.Storage].
func (s *store) GetPrivateClaimsFromScopes(_ context.Context, _, _ string, scopes []string) (map[string]any, error) {
	claims := maps.Clone(s.claims)
	if len(scopes) > 0 {
		claims["scope"] = strings.Join(scopes, " ")
	}
	return claims, nil
}

// SigningKey implements [op.Storage].
func (s *store) SigningKey(context.Context) (op.SigningKey, error) {
	all, err := s.keys.all()
	if err != nil {
		return nil, err
	}
	return all[len(all)-1], nil
}

// SignatureAlgorithms implements [op.Storage].
func (s *store) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	all, err := s.keys.all()
	var names []jose.SignatureAlgorithm
	for _, p := range all {
		names = append(names, p.algorithm)
	}
	return names, err
}

// KeySet implements [op.Storage].
func (s *store) KeySet(context.Context) ([]op.Key, error) {
	all, err := s.keys.all()
	var public []op.Key
	for _, p := range all {
		public = append(public, published{p})
	}
	return public, err
}
