// Package wire reads encoded protobuf messages field by field, without decoding
// them into anything: on the hot paths only a few fields of a message are looked at,
// and the rest is handed on as it came.
//
// The package imports nothing of ours.
package wire
