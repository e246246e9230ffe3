package tenancy

import (
	"errors"
	"strings"
)

// parsePointer returns the steps to what a [ClaimNames] name means; none if it is empty.
func parsePointer(name string) ([]string, error) {
	if name == "" {
		return nil, nil
	}
	if name[0] != '/' {
		return []string{name}, nil
	}
	steps := strings.Split(name[1:], "/")
	for i, step := range steps {
		// "~" is only the first half of "~0" and "~1" (RFC 6901, section 3).
		if rest := strings.NewReplacer("~0", "", "~1", "").Replace(step); strings.Contains(rest, "~") {
			return nil, errors.New(`not a JSON pointer: "~" is written as "~0"`)
		}
		steps[i] = strings.NewReplacer("~0", "~", "~1", "/").Replace(step)
	}
	return steps, nil
}
