package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Load returns the defaults with the file over them and then what override
// sets; file may be "". It validates the whole and reports every problem at
// once, as [*Problems].
func Load(file string, override func(*Config)) (Config, error) {
	c := Default()
	d := &decoder{getenv: lookupEnv, places: map[string]*yaml.Node{}}
	if file != "" {
		if err := d.file(file, &c); err != nil {
			return c, err
		}
	}
	fromFile := c
	override(&c)
	for _, p := range c.problems() {
		// What a flag has set stands in no file.
		if n := d.place(p.Path); n != nil && valueAt(fromFile, p.Path) == valueAt(c, p.Path) {
			p.Line, p.Column = n.Line, n.Column
		}
		d.problems = append(d.problems, p)
	}
	if len(d.problems) > 0 {
		return c, &Problems{File: file, List: d.problems}
	}
	return c, nil
}

// place returns where the value at path stands or, if it stands nowhere, what it
// would stand in; nil if that isn't there either.
func (d *decoder) place(path string) *yaml.Node {
	for path != "" {
		if n := d.places[path]; n != nil {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return nil
}

func (d *decoder) file(name string, c *Config) error {
	doc, err := d.document(name)
	if doc != nil {
		d.decode(doc, reflect.ValueOf(c).Elem(), "")
	}
	return err
}

// document returns the one document that a file holds; nil if it is empty.
func (d *decoder) document(name string) (*yaml.Node, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil // an empty file
		}
		return nil, &Problems{File: name, List: []Problem{syntaxProblem(err)}}
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		d.problem(&second, "", "a second YAML document")
	}
	return doc.Content[0], nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// syntaxProblem takes the line out of the library's message; it knows no column.
func syntaxProblem(err error) Problem {
	p := Problem{Line: 1, Column: 1, Message: strings.TrimPrefix(err.Error(), "yaml: ")} // the first line it doesn't name
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Message = err.Error()[len(m[0]):]
	}
	return p
}

// valueAt returns the printed value at a path such as listen.http.
func valueAt(c Config, path string) string {
	v := reflect.ValueOf(c)
	for key := range splitPath(path) {
		if v.Kind() != reflect.Struct {
			break
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("yaml") == key {
				v = v.Field(i)
				break
			}
		}
	}
	return fmt.Sprint(v.Interface())
}

// Print writes the configuration as YAML, secrets hidden.
func (c Config) Print(w io.Writer) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(c); err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	return enc.Close()
}
