package tenancy

import (
	"fmt"
	"testing"
	"time"
)

func TestRevocations(t *testing.T) {
	issued := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	id := Identity{Issuer: "i", Tenant: "acme", Subject: "s", TokenID: "1", Issued: issued}
	reader := Identity{Issuer: "i", Reads: []string{"acme", "b"}, TokenID: "2", Issued: issued}
	operator := Identity{Issuer: "i", ReadsAll: true, Subject: "s"}
	tests := map[string]struct {
		id   Identity
		r    Revocation
		want bool
	}{
		"nothing":                 {id, Revocation{}, false},
		"nothing, empty identity": {Identity{}, Revocation{}, false},
		"id":                      {id, Revocation{TokenID: "1"}, true},
		"other id":                {id, Revocation{TokenID: "2"}, false},
		"id of none":              {operator, Revocation{TokenID: "1"}, false},
		"id in another case":      {Identity{TokenID: "a"}, Revocation{TokenID: "A"}, false},
		"id and issuer":           {id, Revocation{TokenID: "1", Issuer: "i"}, true},
		"id and other issuer":     {id, Revocation{TokenID: "1", Issuer: "j"}, false},
		"id and tenant":           {id, Revocation{TokenID: "1", Tenant: "acme"}, true},
		"id and other tenant":     {id, Revocation{TokenID: "1", Tenant: "b"}, false},
		"id and subject":          {id, Revocation{TokenID: "1", Subject: "s"}, true},
		"id and other subject":    {id, Revocation{TokenID: "1", Subject: "t"}, false},
		"subject":                 {id, Revocation{Subject: "s"}, true},
		"subject of none":         {reader, Revocation{Subject: "s"}, false},
		"subject, issued since":   {id, Revocation{Subject: "s", IssuedBefore: issued}, false},
		"subject, issued before":  {id, Revocation{Subject: "s", IssuedBefore: issued.Add(time.Second)}, true},
		"subject, never issued":   {operator, Revocation{Subject: "s", IssuedBefore: issued}, true},
		"tenant":                  {id, Revocation{Tenant: "acme"}, true},
		"other tenant":            {id, Revocation{Tenant: "b"}, false},
		"tenant it reads":         {reader, Revocation{Tenant: "b"}, true},
		"tenant among all":        {operator, Revocation{Tenant: "b"}, false},
		"tenant and before":       {reader, Revocation{Tenant: "b", IssuedBefore: issued.Add(1)}, true},
		"tenant and since":        {reader, Revocation{Tenant: "b", IssuedBefore: issued}, false},
		"issuer":                  {id, Revocation{Issuer: "i"}, true},
		"other issuer":            {id, Revocation{Issuer: "j"}, false},
		"issuer and tenant":       {id, Revocation{Issuer: "i", Tenant: "acme"}, true},
		"issuer and other tenant": {id, Revocation{Issuer: "i", Tenant: "b"}, false},
		"before":                  {id, Revocation{IssuedBefore: issued.Add(1)}, true},
		"not before":              {id, Revocation{IssuedBefore: issued}, false},
		"before, never issued":    {operator, Revocation{IssuedBefore: issued}, true},
	}
	// Beside many others, and in front of and behind some that are much like it.
	var many []Revocation
	for i := range 100 {
		many = append(many, Revocation{TokenID: fmt.Sprint("x", i)}, Revocation{Subject: fmt.Sprint("x", i)})
	}
	many = append(many, Revocation{TokenID: "1", Subject: "nobody"}, Revocation{Subject: "s", Issuer: "nobody"}, Revocation{IssuedBefore: issued.Add(-time.Hour)})
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, all := range [][]Revocation{{tt.r}, append(many[:len(many):len(many)], tt.r), append([]Revocation{tt.r}, many...)} {
				want := tt.want
				if len(all) > 1 && tt.id.Issued.IsZero() {
					want = true // by the last of many
				}
				if got := newRevocations(all).revoked(&tt.id); got != want {
					t.Errorf("of %d: revoked = %t, want %t", len(all), got, want)
				}
			}
		})
	}
}
