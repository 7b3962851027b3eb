// The report at exit: when REAM_REPORT is set, the process writes one frame (inspect/frame.h) with
// the state of its heap as it ends.
//
//   REAM_REPORT=FILE:PID   the process with this number writes FILE, no other: so the children of a
//                          program, which inherit the variable, leave its report alone
//   REAM_REPORT=FILE       every process that starts with it writes FILE; the last one wins
//
// A process that execs another program keeps its number: the program that it ends as writes the
// report. The child of a fork that goes on without exec never writes. A process that ends by a
// signal, by _exit or by quick_exit writes nothing.
//
// The heap is read like that of another process, through its root, but with the locks held under
// which the memory that describes it may change; where they cannot be had (the process exits from a
// signal handler that interrupted malloc) there is no report.
//
// Thread safety: runs before main and at exit.
#include "abi/report.h"

#include <array>
#include <atomic>
#include <cstring>

#include "base/check.h"
#include "base/format.h"
#include "heap/heap.h"
#include "heap/heap_start.h"
#include "heap/options.h"
#include "inspect/frame_encode.h"
#include "inspect/reader.h"
#include "inspect/root.h"
#include "inspect/snapshot.h"
#include "os/exit.h"
#include "os/os.h"
#include "os/output_file.h"

namespace ream {

const bool kHasReport = true;

namespace {

constexpr std::size_t kMaxPath = 4096;

// Copies, since programs may write over their environment.
constinit std::array<char, kMaxPath> g_path{};
constinit std::uint32_t g_process = 0;

constinit inspect::Reader g_reader;
constinit inspect::Snapshot g_snapshot;

struct Target {
  std::size_t path_bytes = 0;
  std::uint64_t process = 0;  // 0: any
};

// Splits FILE:PID; what does not end in a colon and digits is a FILE.
Target parse_target(const char* value) noexcept {
  const std::size_t n = std::strlen(value);
  std::size_t digits = n;
  while (digits > 0 && value[digits - 1] >= '0' && value[digits - 1] <= '9') --digits;
  if (digits == n || n - digits > 10 || digits < 2 || value[digits - 1] != ':') return {n, 0};
  Target target{digits - 1, 0};
  for (std::size_t i = digits; i < n; ++i) {
    target.process = target.process * 10 + static_cast<unsigned>(value[i] - '0');
  }
  return target;
}

// For about a second; false when the lock stays taken.
bool lock_in_time(os::Mutex& mutex) noexcept REAM_TRY_ACQUIRE(true, mutex) {
  constexpr std::uint64_t kPauseNs = 5'000'000;
  static constinit std::atomic<std::uint32_t> nobody_wakes{0};
  for (int attempt = 0; attempt < 200; ++attempt) {
    if (mutex.try_lock()) return true;
    os::futex_wait_for(&nobody_wakes, 0, kPauseNs);
  }
  return false;
}

bool collect_with_locks() noexcept {
  const std::uint64_t root = Addr(&ream_root).n;
  return g_reader.open(inspect::own_memory(), root) == inspect::OpenResult::kOk &&
         inspect::collect(g_reader, g_process, g_snapshot);
}

bool collect() noexcept {
  os::Mutex& caches = g_heap.caches().lock();
  os::Mutex& pages = g_heap.page_heap().lock();
  if (!lock_in_time(caches)) return false;
  bool done = false;
  if (lock_in_time(pages)) {
    done = collect_with_locks();
    pages.unlock();
  }
  caches.unlock();
  return done;
}

bool write_file(const char* path) noexcept {
  os::OutputFile file;
  if (!file.open(path)) return false;
  const inspect::FrameSink sink{[](void* context, const void* bytes, std::size_t n) noexcept {
                                  return static_cast<os::OutputFile*>(context)->write(bytes, n);
                                },
                                &file};
  return inspect::encode(g_snapshot, sink) && file.close();
}

void report() noexcept {
  if (os::process_id() != g_process) return;  // the child of a fork
  if (!collect()) return message("no report: the heap is locked");
  if (!write_file(g_path.data())) message("REAM_REPORT: the file cannot be written");
}

[[gnu::constructor]] void prepare_report() noexcept {
  // os::env, unlike options(), does not trust the environment of a set-user-ID program.
  if (os::env("REAM_REPORT") == nullptr) return;
  start_heap();
  const char* value = options().report;
  if (value == nullptr) return;
  const Target target = parse_target(value);
  const std::uint32_t self = os::process_id();
  if (target.process != 0 && target.process != self) return;
  if (target.path_bytes >= kMaxPath) return message("REAM_REPORT: the path is too long");
  std::memcpy(g_path.data(), value, target.path_bytes);
  g_process = self;
  if (!os::at_exit(report)) message("no report: no memory");
}

}  // namespace
}  // namespace ream
