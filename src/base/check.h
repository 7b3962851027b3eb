// Checks and the end of the program.
//
//   REAM_CHECK(x)   always executed; O(1), for what memory safety rests on
//   REAM_ASSERT(x)  executed in debug builds
//   REAM_AUDIT(x)   executed in audit builds; x may walk a whole structure
//
// A form that is switched off still type-checks its argument. A failed check ends the program with
// `ream: check failed: <text> (<file>:<line>)`; misuse by the caller goes through fatal_at().
//
// Thread safety: all; nothing here allocates, throws or locks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/annotate.h"
#include "base/config.h"

namespace ream {

// Where messages go: a sink writes the whole text. Until one is installed (the heap installs the OS
// layer's) messages go to descriptor 2 by the C library's write(), in a program that has one; this
// layer knows no OS and needs no C library, so elsewhere they are lost.
using MessageSink = void (*)(const char* text, std::size_t bytes) noexcept;
void set_message_sink(MessageSink sink) noexcept;

// How the program ends after a fatal message: by default by the C library's abort(), in a program
// that has one, else by a trap. It may not return; if it does, the program traps.
using EndProgram = void (*)() noexcept;
void set_end_program(EndProgram end) noexcept;

// Writes `ream: <text>\n` to the sink.
REAM_COLD void message(const char* text) noexcept;

// Ends the program with `ream: <text>` or `ream: <what>: 0x<address>`.
[[noreturn]] REAM_COLD void fatal(const char* text) noexcept;
[[noreturn]] REAM_COLD void fatal_at(const char* what, std::uint64_t address) noexcept;

[[noreturn]] REAM_COLD void check_failed(const char* text, const char* file, int line) noexcept;

}  // namespace ream

#define REAM_CHECK(x)                                  \
  (__builtin_expect(static_cast<bool>(x), 1) ? void(0) \
                                             : ::ream::check_failed(#x, __FILE__, __LINE__))

#define REAM_ASSERT(x)                                 \
  do {                                                 \
    if constexpr (::ream::kDebug)                      \
      REAM_CHECK(x);                                   \
    else                                               \
      static_cast<void>(sizeof(static_cast<bool>(x))); \
  } while (false)

#define REAM_AUDIT(x)                                  \
  do {                                                 \
    if constexpr (::ream::kAudit)                      \
      REAM_CHECK(x);                                   \
    else                                               \
      static_cast<void>(sizeof(static_cast<bool>(x))); \
  } while (false)
