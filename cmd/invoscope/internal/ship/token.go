package ship

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// token is a bearer token kept in a file, which may be replaced at any time.
type token struct {
	path     string
	optional bool // the file may be missing
	value    string
}

// load reads the file and reports whether the token is another one than before.
func (t *token) load() (changed bool, err error) {
	if t.path == "" {
		return false, nil
	}
	raw, err := os.ReadFile(t.path)
	if t.optional && errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read token: %w", err)
	}
	value := strings.TrimSpace(string(raw))
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false, fmt.Errorf("read token: %s does not hold exactly one token", t.path)
	}
	changed = value != t.value
	t.value = value
	return changed, nil
}

// name says in a message which token was sent.
func (t *token) name() string {
	if t.value == "" {
		return "no token (name one with --token-file)"
	}
	return "the token in " + t.path
}
