//go:build faults

package main

import (
	"os"
	"strings"
	"time"
)

// clockFile is the environment variable that names the file with the offset, a
// duration such as -1h.
const clockFile = "INVOSCOPE_FAULTS_CLOCK"

// clock is a clock that the fault test can step: it is off by what stands in a
// file. It has no monotonic reading, which would hide a step from whoever
// compares two of its times. A missing or unreadable file is no offset.
func clock() func() time.Time {
	path := os.Getenv(clockFile)
	return func() time.Time {
		content, _ := os.ReadFile(path)
		offset, _ := time.ParseDuration(strings.TrimSpace(string(content)))
		return time.Now().Add(offset).Round(0)
	}
}
