package correlate

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// generator writes random records that are likely to be hard: known keys at
// wrong places, repeated keys, odd values, records in strings.
type generator struct {
	*rand.Rand
	strings.Builder
}

func (g *generator) one(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g *generator) space() { g.WriteString(g.one("", "", "", "", " ", "\t ", "\n")) }

func (g *generator) id() string { return g.one(greet, place, timer, greet[:37]+"_", "x"+place) }

func (g *generator) object(depth int) {
	g.WriteString("{")
	for i := range g.IntN(5) {
		if i > 0 {
			g.WriteString(",")
		}
		g.space()
		g.WriteString(`"` + g.one("span", "spans", "fields", "level", "restate.invocation.id", "restate.invocation.id",
			"invocation_id", "restate.invocation.target", "restate.error.code", "retry_count", "message", `a\"b`, "") + `"`)
		g.space()
		g.WriteString(":")
		g.space()
		g.value(depth)
		g.space()
	}
	g.WriteString("}")
}

func (g *generator) array(depth int) {
	g.WriteString("[")
	for i := range g.IntN(4) {
		if i > 0 {
			g.WriteString(",")
		}
		g.space()
		g.value(depth)
		g.space()
	}
	g.WriteString("]")
}

func (g *generator) value(depth int) {
	choice := g.IntN(12)
	switch {
	case choice < 3 && depth > 0:
		g.object(depth - 1)
	case choice < 5 && depth > 0:
		g.array(depth - 1)
	case choice < 8:
		g.WriteString(`"` + g.id() + `"`)
	case choice == 8:
		g.WriteString(g.one(`"RT0007"`, `"META0003"`, `"None"`, `"RT0007x"`, `"3"`, "3", "12345678901", "3.0", "-1"))
	case choice == 9:
		g.WriteString(`"` + g.one("INFO", "WARN", "DEBUG") + `"`)
	case choice == 10:
		g.WriteString(g.one("0", "-1.5e3", "true", "null", "{}", "[]", `""`))
	default:
		g.text(depth)
	}
}

func (g *generator) text(depth int) {
	var text string
	switch g.IntN(5) {
	case 4:
		text = g.one("2026-11-23T03:14:00Z  WARN x: ", "2026-11-23T03:14:00Z DEBUG x: ", "\x1b[2m", "") + g.one("restate.error.code=", "\x1b[1mrestate.error.code\x1b[0m: ") +
			g.one("RT0007", "None", "RT0007\nretry_count: 4") + g.one(" retry_count=3 ", "\n", "") + g.id()
	case 0:
		inner := generator{Rand: g.Rand}
		inner.object(max(depth, 1))
		text = inner.String()
	case 1:
		text = "[restate][2026-11-23T03:14:00.893Z][A/" + g.one("", "]", `"`) + "/a][" + g.id() + "] INFO: x"
	case 2:
		text = g.one("DEBUG", "warn", `A/"b"/c`, `back\slash\`, "2026-11-23T03:14:00Z", "2026-11-23T03:14:00Z INFO x y=", "\x1b[33m") + g.one("", g.id())
	default:
		text = "about\n" + g.id() + g.one(", ", "-", "\x1b[0m", "\\") + g.id()
	}
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	g.Write(encoded)
}

func generate(seed uint64) string {
	g := generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	g.object(4)
	return g.String()
}

func TestReferenceAgreesOnGenerated(t *testing.T) {
	const records = 3_000
	for seed := range uint64(records) {
		compare(t, generate(seed))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzGenerated(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { compare(t, generate(seed)) })
}
