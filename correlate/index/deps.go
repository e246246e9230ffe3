package index

import (
	_ "github.com/cockroachdb/pebble/v2"
)
