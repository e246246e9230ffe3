package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// fileVersion is the "version" of the JSON files. It changes when an earlier program
// would misread a file, as it would a field that it doesn't know; others are refused.
const fileVersion = 1

// decode reads a JSON file into v, whose field for the version is version. What v has no
// field for is an error: a condition of a revocation that was misspelt would be left out.
func decode(data []byte, v any, version *int) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		// A later version may well have other fields.
		var head struct {
			Version *int `json:"version"`
		}
		if json.Unmarshal(data, &head) != nil || head.Version == nil || *head.Version == fileVersion {
			return err
		}
		*version = *head.Version
	}
	if *version != fileVersion {
		return fmt.Errorf("has version %d; this program knows version %d", *version, fileVersion)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("goes on behind its end")
	}
	return nil
}
