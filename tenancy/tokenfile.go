package tenancy

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// ReadTokenFile returns the token in the file at path, without the whitespace
// around it. A file that is empty or can't be a token gives an [*Error].
func ReadTokenFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read token file: %w", err)
	}
	defer f.Close()
	token, err := ReadToken(f)
	if err != nil {
		return "", fmt.Errorf("read token file %s: %w", path, err)
	}
	return token, nil
}

// ReadToken returns the token that r has, without the whitespace around it. What is
// empty or can't be a token gives an [*Error].
func ReadToken(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxToken+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	switch {
	case token == "":
		return "", &Error{Reason: Missing}
	case len(data) > maxToken || strings.ContainsFunc(token, notTokenRune):
		return "", malformed("not a token")
	}
	return token, nil
}
