//go:build !linux

package engine

import "syscall"

// hasParentDeathSignal is false: a guard kills the child when we are gone.
const hasParentDeathSignal = false

func dieWithParent(*syscall.SysProcAttr) {}
