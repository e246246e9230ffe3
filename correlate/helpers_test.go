package correlate

import (
	"encoding/json"
	"math/big"
	"reflect"
	"testing"
)

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// uint128 is the decimal number of big-endian bytes.
func uint128(bytes []byte) string { return new(big.Int).SetBytes(bytes).String() }

// wrap puts a line into a JSON object as Docker's json-file driver does.
func wrap(line string) string {
	text, err := json.Marshal(map[string]string{"log": line + "\n", "stream": "stdout", "time": "2026-11-23T03:14:00.123456789Z"})
	if err != nil {
		panic(err)
	}
	return string(text)
}
