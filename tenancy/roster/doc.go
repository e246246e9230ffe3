// Package roster knows which tenants there are: those that somebody has named, and
// those that were seen writing, which a file remembers. A token that reads every
// tenant reads these.
//
// The file has a name a line and is only ever appended to. A name that can't be a
// tenant's, such as the rest of a line that a crash has cut off, is skipped.
//
// It must not import any package of ours but tenancy.
package roster
