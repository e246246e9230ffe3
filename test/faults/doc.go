// Package faults holds the test that nothing that was acknowledged is lost:
// tenants send logs and traces to a built Invoscope with the real engines while
// processes are killed and stopped, engines refuse and hang, the disks fill up,
// the logs' tails are torn and the clock steps. What was acknowledged must be there
// afterwards, once, and with the tenant that sent it. An engine that the daemon runs
// is asked after it was killed once more.
//
//	make test-faults FAULTTIME=15m FAULTSEED=7
//
// The faults are a schedule that follows from the seed alone: which one, when
// and for how long. What a fault meets depends on the machine all the same.
package faults
