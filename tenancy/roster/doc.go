// Package roster knows which tenants there are: those that somebody has named, and
// those that were seen writing, which a file remembers. A token that reads every
// tenant reads these.
//
// The file has a name a line. It is appended to, and of one that a crash has cut off
// the last, broken line is taken away. What can't be a tenant's name in it is skipped.
//
// It must not import any package of ours but tenancy.
package roster
