package config

import "reflect"

// Differences returns the paths of the values that other has differently, such as
// listen.http, in the order of the documentation. A list or a map is one value.
func (c Config) Differences(other Config) []string {
	return differences(reflect.ValueOf(c), reflect.ValueOf(other), "")
}

func differences(a, b reflect.Value, path string) []string {
	if a.Kind() == reflect.Struct {
		var paths []string
		for i := range a.NumField() {
			paths = append(paths, differences(a.Field(i), b.Field(i), join(path, a.Type().Field(i).Tag.Get("yaml")))...)
		}
		return paths
	}
	empty := (a.Kind() == reflect.Slice || a.Kind() == reflect.Map) && a.Len() == 0 && b.Len() == 0
	if empty || reflect.DeepEqual(a.Interface(), b.Interface()) {
		return nil
	}
	return []string{path}
}
