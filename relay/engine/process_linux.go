package engine

import "syscall"

// hasParentDeathSignal tells that a child can be made to die with us.
const hasParentDeathSignal = true

// dieWithParent has the kernel kill the child when the thread that started it ends.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
