package ship

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/grafana/loki/pkg/push"
)

// containerLabel is the stream label that the published Restate queries select
// by, and containerName its value for restate-server's own log.
const (
	containerLabel = "kubernetes_container_name"
	podLabel       = "kubernetes_pod_name"
	namespaceLabel = "kubernetes_namespace_name"
	unitLabel      = "unit" // of systemd
	containerName  = "restate"
)

// containerIDKey names a container in structured metadata: an id is never a
// label, since each value of a label is a stream.
const containerIDKey = "container_id"

// labeler gives sources their labels.
type labeler struct{ given map[string]string }

// newLabeler checks the labels that the user gave.
func newLabeler(given map[string]string) (*labeler, error) {
	name := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	for k, v := range given {
		switch {
		case !name.MatchString(k):
			return nil, fmt.Errorf("label %q: a name is made of letters, digits and _ and doesn't start with a digit", k)
		case strings.HasPrefix(k, "__"):
			return nil, fmt.Errorf("label %q: names that start with __ are Loki's own", k)
		case !utf8.ValidString(v):
			return nil, fmt.Errorf("label %q: the value is not UTF-8", k)
		}
	}
	l := &labeler{given: given}
	if len(l.merge(nil)) == 0 {
		return nil, errors.New("labels: a stream needs at least one")
	}
	return l, nil
}

// merge returns what the user gave, beside it what was found, and beside that the
// container label. An empty value is how Loki says that a label is absent, so the
// user can take a label away.
func (l *labeler) merge(found map[string]string) map[string]string {
	all := map[string]string{containerLabel: containerName}
	for k, v := range found {
		if v != "" {
			all[k] = strings.ToValidUTF8(v, "\uFFFD")
		}
	}
	maps.Copy(all, l.given)
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

// source makes a source with the labels that were found for it.
func (l *labeler) source(found map[string]string, metadata ...push.LabelAdapter) *source {
	all := l.merge(found)
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(all)) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(k + "=" + strconv.Quote(all[k]))
	}
	return &source{labels: "{" + b.String() + "}", metadata: metadata}
}
