// Threads, their ends, fork and CPUs.
//
// Thread safety: all.
#pragma once

#include <cstdint>

namespace ream::os {

// ---- identity

// Tells live threads of this process apart: the thread pointer, a register. Never 0; used again
// after a thread has ended; unchanged in the child of a fork. A few instructions, safe in signal
// handlers.
[[nodiscard]] inline std::uint64_t thread_id() noexcept {
#if defined(__x86_64__) && defined(__LP64__)
  std::uint64_t self;
  asm("mov %%fs:0, %0" : "=r"(self));
  return self;
#elif defined(__aarch64__)
  std::uint64_t self;
  asm("mrs %0, tpidr_el0" : "=r"(self));
  return self;
#else
  return reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
#endif
}

// The number that the kernel and other processes know the thread by. A system call.
[[nodiscard]] std::uint32_t kernel_thread_id() noexcept;

// CPUs that this thread may run on, at least 1. A system call: keep the answer.
[[nodiscard]] unsigned cpu_count() noexcept;

// The CPU that the thread ran on a moment ago; 0 where it is not known.
[[nodiscard]] unsigned current_cpu() noexcept;

// A full memory barrier on every CPU that runs a thread of this process, and on those that will:
// what any thread did before it is visible to the caller afterwards, and what the caller did before
// it to what they do afterwards. A system call of microseconds (membarrier, Linux 4.14); the first
// one in a process of several threads takes milliseconds. False where the kernel has none: then
// nothing is promised.
[[nodiscard]] bool barrier_everywhere() noexcept;

// ---- thread exit (thread_linux.cc)

using ThreadExit = void (*)(void*) noexcept;

// Has fn(arg) called by this thread when it ends. A thread has one registration: a later call
// replaces arg, null withdraws it. There is one fn for the process; a second one ends the program.
//
// May allocate: libc's pthread_setspecific calls calloc for a thread's first key of number 32 and
// above. Called from inside the first malloc it therefore re-enters malloc, once: the caller first
// makes its thread state usable and marks the registration as done, then calls. False when libc
// refuses (no key, no memory); then nothing is registered.
//
// What is promised about the order: fn runs after the thread's C++ thread_local destructors; before
// or after other pthread keys' destructors, which may still allocate and free. fn may register
// again; it is then called in the next round, after every destructor of this one; libc makes 4
// rounds, so at most 3 such renewals are kept. After its last call a thread may still allocate and
// free (libc's own clean-up does): state made then is nobody's to clean, so serve such threads
// without state of their own. fn does not run for the main thread when the process exits, nor for
// any thread alive then, nor in the child of a fork for threads that are gone.
[[nodiscard]] bool on_thread_exit(ThreadExit fn, void* arg) noexcept;

// Starts a detached thread with a small stack (64 KiB beside the program's TLS) and all signals
// blocked, so that no handler of the program ever runs on it. libc allocates for it: malloc must
// work and no lock that malloc takes may be held. False when there are no resources.
[[nodiscard]] bool start_thread(void (*fn)(void*) noexcept, void* arg) noexcept;

// Gives this thread a table of open files of its own, an empty one: what it opens from now on the
// program can neither see nor close, and what the program closes is closed. False where the kernel
// cannot (before Linux 5.9), or does not let us; then nothing has changed.
[[nodiscard]] bool leave_open_files() noexcept;

// CPU time that this thread has used. A system call.
[[nodiscard]] std::uint64_t thread_cpu_ns() noexcept;

// Names this thread for ps and debuggers; 15 bytes are kept.
void set_thread_name(const char* name) noexcept;

// ---- fork (fork_linux.cc)

// Has `prepare` called in the forking thread before each fork, `parent` and `child` after it.
// Handlers registered earlier prepare later and resume earlier, so registering inside the first
// malloc makes ream's the innermost: other handlers may allocate around it. vfork, posix_spawn and
// raw clone call none. May allocate (libc keeps a growing list), so like on_thread_exit it may
// re-enter malloc. There is no way to unregister. False when libc has no memory.
[[nodiscard]] bool at_fork(void (*prepare)() noexcept, void (*parent)() noexcept,
                           void (*child)() noexcept) noexcept;

}  // namespace ream::os
