// Clang's thread-safety annotations (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html) and the
// few attributes the code uses. They expand to nothing in other compilers.
#pragma once

#if defined(__clang__)
#define REAM_TSA(x) __attribute__((x))
#else
#define REAM_TSA(x)
#endif

#define REAM_CAPABILITY(name) REAM_TSA(capability(name))
#define REAM_SCOPED_CAPABILITY REAM_TSA(scoped_lockable)
#define REAM_GUARDED_BY(lock) REAM_TSA(guarded_by(lock))
#define REAM_PT_GUARDED_BY(lock) REAM_TSA(pt_guarded_by(lock))
#define REAM_REQUIRES(...) REAM_TSA(requires_capability(__VA_ARGS__))
#define REAM_EXCLUDES(...) REAM_TSA(locks_excluded(__VA_ARGS__))
#define REAM_ACQUIRE(...) REAM_TSA(acquire_capability(__VA_ARGS__))
#define REAM_RELEASE(...) REAM_TSA(release_capability(__VA_ARGS__))
#define REAM_TRY_ACQUIRE(...) REAM_TSA(try_acquire_capability(__VA_ARGS__))
#define REAM_NO_THREAD_SAFETY_ANALYSIS REAM_TSA(no_thread_safety_analysis)

// A function whose plain accesses race by intention: ThreadSanitizer looks away.
#define REAM_RACES __attribute__((no_sanitize("thread")))

// Rare paths: kept out of line and out of the hot code's cache lines.
#define REAM_COLD [[gnu::cold, gnu::noinline]]
// Forced inlining; each use has been measured.
#define REAM_INLINE [[gnu::always_inline]] inline
