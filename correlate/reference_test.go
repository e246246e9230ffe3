package correlate

import (
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// This file holds a slow reading of JSON lines by the rules of Extract's
// documentation, with a tree, regular expressions and big numbers, and compares.

// node is a JSON value; keys are those of an object's items, in order.
type node struct {
	kind  byte // '{', '[', '"', '0' for a number, or 0
	text  string
	keys  []string
	items []*node
}

// parse is the tree of a document that is exactly one JSON value.
func parse(doc string) (*node, bool) {
	if !json.Valid([]byte(doc)) {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	n, err := parseValue(d)
	if err != nil {
		return nil, false
	}
	_, err = d.Token()
	return n, errors.Is(err, io.EOF)
}

func parseValue(d *json.Decoder) (*node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case string:
		return &node{kind: '"', text: v}, nil
	case json.Delim:
		n := &node{kind: byte(v)}
		for d.More() {
			if v == '{' {
				key, err := d.Token()
				if err != nil {
					return nil, err
				}
				n.keys = append(n.keys, key.(string))
			}
			item, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		_, err := d.Token()
		return n, err
	}
	if v, ok := token.(json.Number); ok {
		return &node{kind: '0', text: v.String()}, nil
	}
	return &node{}, nil
}

// members are an object's values of one kind under one of these keys.
func (n *node) members(kind byte, keys ...string) (found []*node) {
	for i, key := range n.keys {
		if n.items[i].kind == kind && slices.Contains(keys, key) {
			found = append(found, n.items[i])
		}
	}
	return found
}

func (n *node) strings() (found []string) {
	if n.kind == '"' {
		return []string{n.text}
	}
	for _, item := range n.items {
		found = append(found, item.strings()...)
	}
	return found
}

func firstText(nodes []*node, accept func(string) bool) string {
	for _, n := range nodes {
		if accept(n.text) {
			return n.text
		}
	}
	return ""
}

func notEmpty(s string) bool { return s != "" }

func (n *node) id() string {
	return firstText(n.members('"', "restate.invocation.id", "invocation_id"), referenceIsID)
}

func (n *node) target() string {
	return firstText(n.members('"', "restate.invocation.target"), notEmpty)
}

var (
	codeShape  = regexp.MustCompile(`^[A-Z]+[0-9]+$`)
	countShape = regexp.MustCompile(`^[0-9]{1,10}$`)
)

func referenceIsCode(s string) bool { return codeShape.MatchString(s) && len(s) <= maxCodeBytes }

// event is what an object says of its event.
func (n *node) event() (e event) {
	e.id = n.id()
	e.code = firstText(n.members('"', "restate.error.code"), referenceIsCode)
	for i, key := range n.keys {
		if item := n.items[i]; e.retries == "" && key == "retry_count" && (item.kind == '"' || item.kind == '0') && countShape.MatchString(item.text) {
			e.retries = item.text
		}
	}
	return e
}

// eventOf is what the record's fields, or else its top level, say.
func eventOf(doc *node) event {
	if fields := doc.members('{', "fields"); len(fields) > 0 {
		return fields[0].event()
	}
	return doc.event()
}

// placesOf are the objects that may name the current invocation, best first.
func placesOf(doc *node) []*node {
	places := doc.members('{', "span")
	var spans []*node
	for _, array := range doc.members('[', "spans") {
		for _, item := range array.items {
			if item.kind == '{' {
				spans = append(spans, item)
			}
		}
	}
	slices.Reverse(spans)
	places = append(places, spans...)
	places = append(places, doc.members('{', "fields")...)
	return append(places, doc)
}

var (
	idShape = regexp.MustCompile(`^inv_1([0-9A-Za-z]{11})([0-9A-Za-z]{22})$`)
	before  = regexp.MustCompile(`(?:^|[^0-9A-Za-z_]|\\[bfnrt]|\\u[0-9a-fA-F]{4}|\[[0-9;]{0,21}m)$`)
	after   = regexp.MustCompile(`^(?:$|[^0-9A-Za-z_])`)
)

func referenceIsID(s string) bool {
	m := idShape.FindStringSubmatch(s)
	return m != nil && digits(m[1]).BitLen() <= 64 && digits(m[2]).BitLen() <= 128
}

func digits(s string) *big.Int {
	n, alphabet := new(big.Int), "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, c := range s {
		n.Mul(n, big.NewInt(62))
		n.Add(n, big.NewInt(int64(strings.IndexRune(alphabet, c))))
	}
	return n
}

func referenceIDs(line string) (ids []string) {
	for i := range line {
		if end := i + idLen; strings.HasPrefix(line[i:], idPrefix) && end <= len(line) && referenceIsID(line[i:end]) &&
			before.MatchString(line[max(0, i-64):i]) && after.MatchString(line[end:]) && !slices.Contains(ids, line[i:end]) {
			ids = append(ids, line[i:end])
		}
	}
	return ids
}

var wrappedShape = regexp.MustCompile(`^(?:\{|\[restate\]\[|\x1b\[|[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]* )`)

// referenceJSON reads one layer.
func referenceJSON(doc *node, needID bool) (r record) {
	r.level = firstText(doc.members('"', "level"), notEmpty)
	r.event = eventOf(doc)
	if needID {
		for _, place := range placesOf(doc) {
			if r.id == "" {
				r.id = place.id()
			}
		}
		for _, place := range placesOf(doc) {
			if r.id != "" && r.target == "" && place.id() == r.id {
				r.target = place.target()
			}
		}
	}
	for _, text := range doc.strings() {
		if wrappedShape.MatchString(text) && (!needID || strings.Contains(text, idPrefix)) {
			r.wrapped = text
			break
		}
	}
	return r
}

var (
	textKey   = `(?:^|[^0-9A-Za-z_.]|\\[bfnrt]|\\u[0-9a-fA-F]{4}|\[[0-9;]{0,21}m)`
	textSep   = `(?:\x1b\[[0-9;]*m)*[=:] *(?:\x1b\[[0-9;]*m)*"?`
	textCode  = regexp.MustCompile(textKey + `restate\.error\.code` + textSep + `([A-Z]+[0-9]+)\b`)
	textCount = regexp.MustCompile(textKey + `retry_count` + textSep + `([0-9]{1,10})\b(?:[^.]|$)`)
)

// referenceText is what the layers that are text say of their event.
func referenceText(doc string) (e event) {
	for _, m := range textCode.FindAllStringSubmatch(doc, -1) {
		if e.code == "" && referenceIsCode(m[1]) {
			e.code = m[1]
		}
	}
	if m := textCount.FindStringSubmatch(doc); m != nil {
		e.retries = m[1]
	}
	return e
}

// reference is what Extract should say of a line. Layers that aren't JSON are
// read by the code under test, which tables test, but for the event. It is false
// for lines that have no one meaning, such as those that aren't valid JSON.
func reference(line string) (f Facts, ok bool) {
	ids := referenceIDs(line)
	current, target := "", ""
	var events []event
	doc := line
	for range maxWrapping {
		needID := len(ids) > 0 && current == ""
		var r record
		if trimmed := strings.TrimLeft(doc, " \t\r\n"); strings.HasPrefix(trimmed, "{") {
			tree, valid := parse(trimmed)
			if !valid {
				return Facts{}, false
			}
			r = referenceJSON(tree, needID)
		} else {
			w := wanted{level: f.Level}
			if needID {
				w.known = ids[0]
			}
			r = readRecord(doc, w)
			if r.event = (event{}); r.wrapped == "" && !strings.HasPrefix(trimmed, sdkPrefix) {
				r.event = referenceText(doc)
			}
		}
		if f.Level == "" {
			f.Level = r.level
		}
		if r.id != "" {
			current, target = r.id, r.target
		}
		events = append(events, r.event)
		if doc = r.wrapped; doc == "" {
			break
		}
		if f.Level != "" && (current != "" || len(ids) == 0) {
			break
		}
	}
	switch {
	case current != "":
		f.InvocationID, f.Target = current, target
	case len(ids) > 0:
		f.InvocationID = ids[0]
	}
	f.ErrorCode, f.RetryCount = referenceError(f, events)
	for _, id := range ids {
		if id != f.InvocationID {
			f.Related = append(f.Related, id)
		}
	}
	return f, true
}

// referenceError is what the layers say of an error; of each the first one counts.
func referenceError(f Facts, events []event) (code, retries string) {
	if f.Level == "DEBUG" || f.Level == "TRACE" {
		return "", ""
	}
	for _, e := range events {
		if e.id != "" && e.id != f.InvocationID {
			continue
		}
		if code == "" {
			code = e.code
		}
		if retries == "" && f.InvocationID != "" {
			retries = e.retries
		}
	}
	return code, retries
}

// needless are escapes of characters that need none. A name or id that is
// spelled with them isn't recognised, which the reference doesn't know.
var needless = regexp.MustCompile(`(?i)\\u00[2-7]`)

// compare reports a difference between Extract and the reference. What they
// agree to disagree on is left out.
func compare(t *testing.T, line string) {
	t.Helper()
	if needless.MatchString(line) || !utf8.ValidString(line) || len(line) > 1<<14 {
		return
	}
	want, ok := reference(line)
	if !ok || len(want.Related) >= maxRelated {
		return
	}
	got := facts(line)
	if got.InvocationID != want.InvocationID || got.Target != want.Target || got.Level != want.Level ||
		got.ErrorCode != want.ErrorCode || got.RetryCount != want.RetryCount || !slices.Equal(got.Related, want.Related) {
		t.Errorf("%s\n got %+v\nwant %+v", line, got, want)
	}
}

func TestReferenceAgreesOnRecordings(t *testing.T) {
	for _, name := range []string{"restate-debug.jsonl", "restate-v162-debug.jsonl", "restate-edge.jsonl"} {
		for _, line := range recording(t, name) {
			compare(t, line)
			compare(t, wrap(line))
			compare(t, wrap(wrap(line)))
		}
	}
}

// FuzzJSON compares with the reference on JSON lines.
func FuzzJSON(f *testing.F) {
	for _, name := range []string{"restate-debug.jsonl", "restate-v162-debug.jsonl", "restate-edge.jsonl"} {
		for i, line := range recording(f, name) {
			if i%37 == 0 && len(line) < 2000 {
				f.Add(line)
				f.Add(wrap(line))
			}
		}
	}
	for _, test := range extractTests {
		f.Add(test.line)
	}
	f.Fuzz(compare)
}

// FuzzBytes holds what is true of every line.
func FuzzBytes(f *testing.F) {
	for _, name := range []string{"restate-compact.log", "restate-pretty.log", "service-sdk-debug.log"} {
		for i, line := range recording(f, name) {
			if i%11 == 0 {
				f.Add(line)
			}
		}
	}
	for _, test := range extractTests {
		f.Add(test.line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		compare(t, line)
		got := facts(line)
		if len(got.Related) > maxRelated || got.InvocationID == "" && (got.Related != nil || got.Target != "") {
			t.Errorf("%q: %+v", line, got)
		}
		seen := map[string]bool{}
		for _, id := range got.ids() {
			if _, err := ParseInvocationID(id); err != nil || seen[id] {
				t.Errorf("%q: bad or repeated id %q: %v", line, id, err)
			}
			seen[id] = true
		}
		equal(t, "begins", Begins(line), Begins(line[:min(len(line), BeginsBytes)]))
		if ts, ok := Timestamp(line); ok && (ts.Year() < firstYear-1 || ts.Year() > lastYear+1) {
			t.Errorf("%q: time %v", line, ts)
		}
	})
}
