// The process: environment, messages, its end, its memory, its limits.
//
// Thread safety: all; env() reads `environ` and so must not race with setenv, as for getenv.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/units.h"

namespace ream::os {

// All variables, as NAME=VALUE, ended by null; null itself before the process has any.
[[nodiscard]] const char* const* environment() noexcept;

// The value of an environment variable, null when it is not set or when the program runs with
// privileges that its user lacks (set-user-ID): there the environment is not to be trusted. Works
// from the first malloc on. The text is the program's own, valid until it changes the variable.
[[nodiscard]] const char* env(const char* name) noexcept;

// Writes the whole text to stderr, through interruptions and partial writes. Gives up when stderr
// is closed, full for more than a second, or fails. Fits set_message_sink.
void write_stderr(const char* text, std::size_t bytes) noexcept;

// Ends the program by SIGABRT: the program's handler runs if it has one (and may leave by longjmp
// or exit), then the default action, also where the signal was blocked or ignored. Takes no lock.
// Fits set_end_program.
[[noreturn]] void abort_process() noexcept;

// Resident memory of the whole process, from /proc/self/statm; 0 when that cannot be read.
[[nodiscard]] Bytes resident_set() noexcept;

enum class Overcommit : std::uint8_t {
  kHeuristic = 0,
  kAlways = 1,
  kStrict = 2,  // commit is charged when memory becomes writable, and may fail
  kUnknown = 3,
};

struct ProcessLimits {
  Bytes address_space;  // RLIMIT_AS; kUnlimited when there is none
  Bytes data;  // RLIMIT_DATA, which since Linux 4.7 counts private writable memory; likewise
  Overcommit overcommit;

  static constexpr Bytes kUnlimited{~std::uint64_t{0}};
};
[[nodiscard]] ProcessLimits process_limits() noexcept;

}  // namespace ream::os
