package keyset

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

func TestSecretFile(t *testing.T) {
	for _, tc := range []struct {
		bytes int
		good  []string
	}{
		{32, []string{"HS256"}}, {47, []string{"HS256"}}, {48, []string{"HS256", "HS384"}}, {64, []string{"HS256", "HS384", "HS512"}},
	} {
		t.Run(fmt.Sprint(tc.bytes), func(t *testing.T) {
			secret := bytes.Repeat([]byte("s"), tc.bytes)
			s := open(t, Options{SecretFile: write(t, append(secret, " \r\n"...)), ID: "shared"})
			for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
				token := jwt.New(m)
				token.Header["kid"] = "shared"
				text, err := token.SignedString(secret)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := verify(s, text); (err == nil) != slices.Contains(tc.good, m.Alg()) {
					t.Errorf("%s with a secret of %d bytes: %v", m.Alg(), tc.bytes, err)
				}
			}
			if len(s.Keys("other")) != 0 || s.Status().Keys != 1 {
				t.Errorf("%d keys of another kid; status %+v", len(s.Keys("other")), s.Status())
			}
		})
	}
}

func TestSecretFileRefused(t *testing.T) {
	const secret = "dontshowdontshowdontshowdontsho"
	path := write(t, []byte(secret+"\n"))
	o, log := logged(Options{SecretFile: path})
	_, err := Open(o)
	if err == nil || !strings.Contains(err.Error(), "31 bytes (want at least 32)") {
		t.Errorf("error %v; want one about the length", err)
	}
	if strings.Contains(fmt.Sprint(err, log), "dontshow") {
		t.Error("the secret is in the error or the log")
	}
	for mode, ok := range map[os.FileMode]bool{0o644: false, 0o604: false, 0o602: false, 0o620: false, 0o640: true, 0o440: true, 0o400: true} {
		if err := os.WriteFile(path, []byte(secret+"w"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		switch _, err := Open(o); {
		case ok && err != nil:
			t.Errorf("mode %o: %v", mode, err)
		case !ok && (err == nil || !strings.Contains(err.Error(), "chmod")):
			t.Errorf("mode %o: error %v; want one that names the chmod", mode, err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
