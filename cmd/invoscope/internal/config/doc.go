// Package config is the daemon's configuration: the defaults, the YAML file, and
// what environment and flags put over it.
//
// A file is decoded strictly. Every problem in it is reported at once, each with
// its line and column. ${NAME} and ${NAME:-default} in a value are replaced from
// the environment. Secrets print as "<secret>".
package config
