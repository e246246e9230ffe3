package tenancy

import (
	"errors"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"
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

var errTwice = errors.New("a name is there twice")

// find returns what is at the end of steps, or nil if there is nothing or null. A name
// on the way that an object has twice is an error: readers don't agree on which counts.
func find(v *fastjson.Value, steps []string) (*fastjson.Value, error) {
	for _, step := range steps {
		var err error
		switch v.Type() {
		case fastjson.TypeObject:
			v, err = member(v.GetObject(), step)
		case fastjson.TypeArray:
			v = element(v.GetArray(), step)
		default:
			return nil, nil
		}
		if v == nil || err != nil {
			return nil, err
		}
	}
	if v.Type() == fastjson.TypeNull {
		return nil, nil
	}
	return v, nil
}

// member returns the member of an object that has this name, exactly: unlike
// encoding/json it minds the case.
func member(o *fastjson.Object, name string) (*fastjson.Value, error) {
	var found *fastjson.Value
	var twice bool
	o.Visit(func(key []byte, v *fastjson.Value) {
		if string(key) == name {
			twice = twice || found != nil
			found = v
		}
	})
	if twice {
		return nil, errTwice
	}
	return found, nil
}

func element(a []*fastjson.Value, step string) *fastjson.Value {
	// RFC 6901, section 4: no leading zeros; Atoi would also take a sign.
	i, err := strconv.Atoi(step)
	if err != nil || strconv.Itoa(i) != step || i < 0 || i >= len(a) {
		return nil
	}
	return a[i]
}
