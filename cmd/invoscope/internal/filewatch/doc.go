// Package filewatch tells whether files have changed since they were looked at.
//
// It compares what stat says of a path behind all symbolic links: so the swap of a
// Kubernetes mount's ..data counts, and network file systems, which send no events, are
// served too. A file is only ever looked at, never read.
//
// Look before reading: then a change that comes while one reads is seen by the next
// look. It imports no other package of this module.
package filewatch
