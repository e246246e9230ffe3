//go:build !faults

package main

import "time"

// clock is what tells the daemon the date. A build for the fault test has
// another one.
func clock() func() time.Time { return time.Now }
