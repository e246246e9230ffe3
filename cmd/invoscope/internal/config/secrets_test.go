package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// notSecret are the keys that are named like secrets and are none.
var notSecret = []string{"tenancy.key", "tenancy.issuers.keys"}

var soundsSecret = regexp.MustCompile(`(?i)(password|passwd|secret|token|credential|key|redis|headers)`)

// visit calls f for every value that can be set in v, whose fields it makes if need be,
// with its path.
func visit(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	f(path, v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			if v.Field(i).CanSet() && name != "" {
				visit(v.Field(i), strings.TrimPrefix(path+"."+name, "."), f)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		visit(v.Index(0), path, f)
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		visit(value, path, f)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("name").Convert(v.Type().Key()), value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		visit(v.Elem(), path, f)
	}
}

// TestNoSecretPrints sets every secret there is and looks for it in all that is printed.
func TestNoSecretPrints(t *testing.T) {
	const planted = "hunter2-hunter2"
	c := Default()
	var secrets []string
	visit(reflect.ValueOf(&c).Elem(), "", func(path string, v reflect.Value) {
		if v.Type() == reflect.TypeFor[Secret]() {
			v.SetString(planted)
			secrets = append(secrets, path)
		}
	})
	if len(secrets) < 3 {
		t.Fatalf("the secrets found are %v", secrets)
	}
	var printed bytes.Buffer
	if err := c.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if strings.Count(printed.String(), hidden) < len(secrets) {
		t.Errorf("of %v not all stand in\n%s", secrets, &printed)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for how, out := range map[string]string{
		"Print": printed.String(), "JSON": string(text),
		"%v": fmt.Sprintf("%v", c), "%+v": fmt.Sprintf("%+v", c), "%#v": fmt.Sprintf("%#v", c),
	} {
		if strings.Contains(out, planted) {
			t.Errorf("a secret shows in %s: %s", how, out)
		}
	}
}

// TestWhatSoundsSecretIsOne finds a new key whose value would print.
func TestWhatSoundsSecretIsOne(t *testing.T) {
	c := Default()
	visit(reflect.ValueOf(&c).Elem(), "", func(path string, v reflect.Value) {
		last := path[strings.LastIndexByte(path, '.')+1:]
		if v.Kind() != reflect.String || !soundsSecret.MatchString(last) || strings.HasSuffix(last, "_file") || slices.Contains(notSecret, path) {
			return
		}
		if v.Type() != reflect.TypeFor[Secret]() {
			t.Errorf("%s is a %s, which prints; if it is no secret, say so in notSecret", path, v.Type())
		}
	})
}
