// Package trust makes the transports of our clients: whom they believe to be Invoscope,
// and what they show of themselves.
//
// Without options that is whom the system believes. An authority's file stands in its
// place. The daemon's own certificate, which only a client on the same machine knows
// of, counts whatever names are in it: such a client dials an address.
//
// It imports no other package of this module.
package trust
