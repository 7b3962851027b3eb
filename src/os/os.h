// The operating system as ream sees it: address space, memory, time, threads, fork, limits. This
// header is the overview and includes the rest; every file implements one of them per OS
// (`*_linux.cc`), and tests/os/fake_os.h is a second implementation of memory.h, clock.h and the
// calls of numa.h for tests, which can fail any call.
//
//   memory.h   pages of address space and their states, purge, huge pages, holes
//   mutex.h    the one lock, with ranks; futex
//   owner_lock.h  a lock that costs its owner two plain accesses
//   thread.h   thread identity, exit hooks, CPUs, the background worker's thread, fork hooks
//   clock.h    a monotonic clock
//   cgroup.h   memory limits of the control group
//   numa.h     memory nodes: which there are, where a thread is, where memory is wanted
//   pressure.h  how long tasks had to wait for memory, in the group or the machine
//   exit.h     the end of the process, its number
//   process.h  environment, stderr, abort, RSS, resource limits
//
// Rules for all of it:
//   1. Nothing here allocates, throws or logs. The few functions below which libc may allocate say
//      so (on_thread_exit, at_fork, at_exit, start_thread); call those only when malloc already
//      works.
//   2. errno is left as it was found: callers sit under free(), which must not change it.
//   3. Failure is a value (null Addr, false, an error kind), and then nothing has changed unless
//      the function says otherwise. Misuse (unaligned or wrapping ranges) ends the program.
//   4. Nothing needs initialisation; all of it works before main, inside the first malloc, and in
//      the child of a fork.
#pragma once

#include "os/cgroup.h"
#include "os/clock.h"
#include "os/exit.h"
#include "os/memory.h"
#include "os/mutex.h"
#include "os/numa.h"
#include "os/pressure.h"
#include "os/process.h"
#include "os/thread.h"
