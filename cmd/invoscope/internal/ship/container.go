package ship

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/grafana/loki/pkg/push"
	"github.com/valyala/fastjson"
)

// Where container runtimes keep logs. Only the end of a path counts, since it
// depends on how a directory is mounted what stands before.
var (
	// /var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log, with the
	// time behind it once the kubelet has rotated it.
	podLog = regexp.MustCompile(`(?:^|/)([^/_]+)_([^/_]+)_[0-9a-f-]{32,36}/([^/]+)/\d+\.log[^/]*$`)
	// /var/log/containers/<pod>_<namespace>_<container>-<id>.log, a link to that.
	containerLog = regexp.MustCompile(`(?:^|/)([^/_]+)_([^/_]+)_([^/]+)-[0-9a-f]{64}\.log[^/]*$`)
	// /var/lib/docker/containers/<id>/<id>-json.log.
	dockerLog = regexp.MustCompile(`(?:^|/)([0-9a-f]{64})-json\.log[^/]*$`)
	// looksLikeID is what a container's id or its beginning looks like.
	looksLikeID = regexp.MustCompile(`^[0-9a-f]{12}$|^[0-9a-f]{64}$`)
)

// shortID is how much of a container's id docker ps shows.
const shortID = 12

// fileSource makes the source of a file by its path, or by where that leads.
func (l *labeler) fileSource(path, resolved string) *source {
	for _, p := range []string{path, resolved} {
		p = filepath.ToSlash(p)
		if m := podLog.FindStringSubmatch(p); m != nil {
			return l.source(map[string]string{namespaceLabel: m[1], podLabel: m[2], containerLabel: m[3]})
		}
		if m := containerLog.FindStringSubmatch(p); m != nil {
			return l.source(map[string]string{podLabel: m[1], namespaceLabel: m[2], containerLabel: m[3]})
		}
	}
	if m := dockerLog.FindStringSubmatch(filepath.ToSlash(resolved)); m != nil {
		return l.source(dockerConfig(filepath.Dir(resolved)), push.LabelAdapter{Name: containerIDKey, Value: m[1][:shortID]})
	}
	return l.source(nil)
}

// dockerConfig reads the names that Docker keeps of a container beside its log.
// They are found where ship may read what only root may, and otherwise not.
func dockerConfig(dir string) map[string]string {
	var c struct {
		Name   string
		Config struct{ Labels map[string]string }
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.v2.json"))
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return nil
	}
	return dockerLabels(c.Config.Labels, strings.TrimPrefix(c.Name, "/"))
}

// dockerAttrs makes labels of the attributes of a log line.
func dockerAttrs(attrs *fastjson.Object) map[string]string {
	all := map[string]string{}
	attrs.Visit(func(key []byte, v *fastjson.Value) { all[string(key)] = string(v.GetStringBytes()) })
	return dockerLabels(all, all["tag"])
}

// dockerLabels makes stream labels of a container's labels, or else of its name.
func dockerLabels(labels map[string]string, name string) map[string]string {
	for _, key := range []string{"io.kubernetes.container.name", "com.docker.swarm.service.name", "com.docker.compose.service"} {
		if labels[key] != "" {
			name = labels[key]
			break
		}
	}
	if looksLikeID.MatchString(name) {
		name = ""
	}
	return map[string]string{
		containerLabel: name,
		podLabel:       labels["io.kubernetes.pod.name"],
		namespaceLabel: labels["io.kubernetes.pod.namespace"],
	}
}
