package tenancy

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRawJSON(t *testing.T) {
	v, ok := parseJSON([]byte(" \n{ \"a\" : [ 1 , \"x]\\\"\" , {\"b\":[]} , null,true] ,\"c\":-1.5e3,\t\"d\\u0065\":\"\\u00e9\",\"\":{}}\r\n"))
	if !ok || !v.object() {
		t.Fatal("not an object")
	}
	type pair struct{ Name, Value string }
	var got []pair
	v.each(func(name, value rawJSON) { got = append(got, pair{string(name), string(value)}) })
	want := []pair{{`"a"`, `[ 1 , "x]\"" , {"b":[]} , null,true]`}, {`"c"`, `-1.5e3`}, {`"d\u0065"`, `"\u00e9"`}, {`""`, `{}`}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	for steps, want := range map[[2]string]string{
		{"a", "0"}: "1", {"a", "1"}: `"x]\""`, {"a", "2"}: `{"b":[]}`, {"a", "3"}: "", {"a", "4"}: "true", {"a", "5"}: "", {"a", "-1"}: "", {"c", "x"}: "", {"x", "x"}: "",
	} {
		if got, err := v.find(steps[0], steps[1]); string(got) != want || err != nil {
			t.Errorf("%v: %s, %v; want %s", steps, got, err, want)
		}
	}
	if got, err := v.find("de"); err != nil || !got.is("é") {
		t.Errorf("de: %s, %v", got, err)
	}
	for _, bad := range []string{"", " ", "{", `{"a":1}{}`, `{"a":1},`, `{a:1}`, "{'a':1}", `{"a":01}`, "\ufeff{}", `{"a":NaN}`, "{\"a\":\"\x01\"}"} {
		if _, ok := parseJSON([]byte(bad)); ok {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// FuzzJSON compares what is read where it stands with what encoding/json reads.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{
		`{}`, `[]`, `{"a":1}`, ` { "a" : [1,2,{"b":"}"}] , "c":"\"\\" } `, `[1,"a",null,true,[],{}]`, `{"a":"\u0022]"}`, `{"":{"":""}}`,
		`[[["]"]],"["]`, `{"a":-1e5,"b":0.1}`, `"x"`, `1`, `{"a":1,"a":2}`, "[\"\xff\"]", `{"\ud800":"\ud800"}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, ok := parseJSON([]byte(text))
		if ok != json.Valid([]byte(text)) {
			t.Fatalf("valid = %t", ok)
		}
		if ok {
			compareJSON(t, v)
		}
	})
}

func compareJSON(t *testing.T, v rawJSON) {
	t.Helper()
	if !json.Valid(v) {
		t.Fatalf("%q isn't JSON", v)
	}
	switch {
	case v.object():
		var want map[string]json.RawMessage
		if err := json.Unmarshal(v, &want); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		v.each(func(name, value rawJSON) {
			var key string
			if err := json.Unmarshal(name, &key); err != nil {
				t.Fatalf("name %q: %v", name, err)
			}
			got[key] = string(value)
			compareJSON(t, value)
		})
		if len(got) != len(want) {
			t.Fatalf("%q has %d members, want %d", v, len(got), len(want))
		}
		for key, value := range want {
			if got[key] != string(value) {
				t.Fatalf("%q: %q is %q, want %q", v, key, got[key], value)
			}
		}
	case v.array():
		var want []json.RawMessage
		if err := json.Unmarshal(v, &want); err != nil {
			t.Fatal(err)
		}
		n := 0
		v.each(func(_, value rawJSON) {
			if n >= len(want) || string(value) != string(want[n]) {
				t.Fatalf("%q: element %d is %q", v, n, value)
			}
			n++
			compareJSON(t, value)
		})
		if n != len(want) {
			t.Fatalf("%q has %d elements, want %d", v, n, len(want))
		}
	default:
		var want any
		if err := json.Unmarshal(v, &want); err != nil {
			return // such as 1e999
		}
		text, isText := v.text()
		number, isNumber := v.number()
		switch want := want.(type) {
		case string:
			// A text without escapes keeps what isn't UTF-8.
			if !isText || isNumber || text != want && string(v) != `"`+text+`"` {
				t.Fatalf("%q says %q", v, text)
			}
		case float64:
			if isText || !isNumber || number != want {
				t.Fatalf("%q is %v", v, number)
			}
		default:
			if isText || isNumber {
				t.Fatalf("%q is a text or a number", v)
			}
		}
	}
}
