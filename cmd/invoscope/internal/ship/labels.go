package ship

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// containerLabel is the stream label that the published Restate queries select
// by, and containerName its value for restate-server's own log.
const (
	containerLabel = "kubernetes_container_name"
	containerName  = "restate"
)

// streamLabels renders given and the container label as Loki writes a stream's
// labels: {a="1", b="2"}. An empty value is how Loki says that a label is
// absent, so it takes the container label away.
func streamLabels(given map[string]string) (string, error) {
	name := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	all := map[string]string{containerLabel: containerName}
	for k, v := range given {
		switch {
		case !name.MatchString(k):
			return "", fmt.Errorf("label %q: a name is made of letters, digits and _ and doesn't start with a digit", k)
		case strings.HasPrefix(k, "__"):
			return "", fmt.Errorf("label %q: names that start with __ are Loki's own", k)
		case !utf8.ValidString(v):
			return "", fmt.Errorf("label %q: the value is not UTF-8", k)
		}
		all[k] = v
	}
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	if len(all) == 0 {
		return "", fmt.Errorf("labels: a stream needs at least one")
	}
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(all)) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(k + "=" + strconv.Quote(all[k]))
	}
	return "{" + b.String() + "}", nil
}
