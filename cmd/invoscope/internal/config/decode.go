package config

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder fills a Config from YAML nodes. It remembers where each value stands,
// so that what is found wrong with it later can say where.
type decoder struct {
	getenv   func(string) (string, bool)
	problems []Problem
	places   map[string]*yaml.Node
	// elements are what the elements of a map begin as, by their type.
	elements map[reflect.Type]reflect.Value
}

func (d *decoder) problem(n *yaml.Node, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{Line: n.Line, Column: n.Column, Path: path, Message: fmt.Sprintf(format, args...)})
}

// decode sets v from the node at path.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.places[path] = n
	if _, isText := v.Addr().Interface().(encoding.TextUnmarshaler); isText {
		d.scalar(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.Tag != "!!null" {
			v.Set(reflect.New(v.Type().Elem()))
			d.decode(n, v.Elem(), path)
		}
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Map:
		d.stringMap(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// pairs calls each for the entries of a mapping, once per key.
func (d *decoder) pairs(n *yaml.Node, path string, each func(key, value *yaml.Node)) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // "listen:" with nothing below keeps the defaults
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "want a mapping")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			d.problem(key, join(path, key.Value), "stands twice")
			continue
		}
		seen[key.Value] = true
		each(key, n.Content[i+1])
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	fields := map[string]reflect.Value{}
	var names []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		fields[name] = v.Field(i)
		names = append(names, name)
	}
	d.pairs(n, path, func(key, value *yaml.Node) {
		field, known := fields[key.Value]
		if known {
			d.decode(value, field, join(path, key.Value))
			return
		}
		hint := "want " + strings.Join(names, ", ")
		if near := nearest(key.Value, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		d.problem(key, path, "unknown key %q (%s)", key.Value, hint)
	})
}

func (d *decoder) stringMap(n *yaml.Node, v reflect.Value, path string) {
	m := reflect.MakeMap(v.Type())
	d.pairs(n, path, func(key, value *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		if first, ok := d.elements[element.Type()]; ok {
			element.Set(first)
		}
		d.decode(value, element, join(path, key.Value))
		m.SetMapIndex(reflect.ValueOf(key.Value), element)
	})
	v.Set(m)
}

// defaulter is an element of a list that isn't its zero value when it says nothing.
type defaulter interface{ setDefaults() }

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // as for mappings
	}
	if n.Kind != yaml.SequenceNode {
		d.problem(n, path, "want a list")
		return
	}
	all := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, element := range n.Content {
		if e, ok := all.Index(i).Addr().Interface().(defaulter); ok {
			e.setDefaults()
		}
		d.decode(element, all.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(all)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.problem(n, path, "want a single value")
		return
	}
	text, missing := expand(n.Value, d.getenv)
	if missing != "" {
		d.problem(n, path, "the environment variable %s is not set", missing)
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			d.problem(n, path, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			d.problem(n, path, "want true or false, not %q", text)
		}
		v.SetBool(b)
	case reflect.Uint64:
		u, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			d.problem(n, path, "want a number from 0, not %q", text)
		}
		v.SetUint(u)
	default:
		d.problem(n, path, "can't be set (%s)", v.Type())
	}
}

var reference = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

// expand replaces ${NAME} and ${NAME:-default}; missing is the first name that
// is neither set nor has a default.
func expand(s string, getenv func(string) (string, bool)) (expanded, missing string) {
	expanded = reference.ReplaceAllStringFunc(s, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		if value, ok := getenv(m[1]); ok && (value != "" || m[2] == "") {
			return value
		}
		if m[2] == "" && missing == "" {
			missing = m[1]
		}
		return m[3]
	})
	return expanded, missing
}

func lookupEnv(name string) (string, bool) { return os.LookupEnv(name) }
