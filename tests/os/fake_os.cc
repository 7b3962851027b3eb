// The made-up OS. Its memory is real, mapped with plain system calls; what it knows about each page
// is in a map of runs beside it.
#include "os/fake_os.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <string>

#include "base/bits.h"
#include "base/check.h"
#include "os/exact_map.h"

namespace ream::fake_os {
namespace {

using os::MemoryRange;
using os::Protection;

constexpr Addr kUserLimit{(1ULL << 47) - 65536};
constexpr std::size_t kCalls = static_cast<std::size_t>(Call::kCount_);

struct Run {
  std::uint64_t end;
  State state;
  bool huge = false;
  bool against_huge = false;
  bool pooled = false;
  int node = -1;
};

struct Failure {
  std::size_t after = 0;  // calls that still succeed before the first failing one
  std::size_t times = 0;  // calls that then fail
};

struct World {
  std::mutex lock;
  Options options;
  std::map<std::uint64_t, Run> runs;  // by first address; what is in none is unmapped
  std::array<std::size_t, kCalls> calls{};
  std::array<Failure, kCalls> failures{};
  std::vector<MemoryRange> purged;
  std::vector<MemoryRange> collapsed;
  std::uint64_t now = 0;
};

World& world() {
  static World* const the_world = new World;  // never destroyed: used until the last test's end
  return *the_world;
}

// Locks the world and leaves errno alone.
class Entry {
 public:
  Entry() : saved_errno_(errno), hold_(world().lock) {}
  ~Entry() { errno = saved_errno_; }

 private:
  const int saved_errno_;
  std::lock_guard<std::mutex> hold_;
};

[[noreturn]] void forbidden(const char* what, Addr base, Bytes bytes) {
  std::fprintf(stderr, "fake os: %s: [0x%llx, +0x%llx)\n", what,
               static_cast<unsigned long long>(base.n), static_cast<unsigned long long>(bytes.n));
  std::abort();
}

void check_range(Addr base, Bytes bytes) {
  const std::uint64_t page = world().options.page_size.n;
  REAM_CHECK(is_aligned(base.n, page) && is_aligned(bytes.n, page));
  REAM_CHECK(bytes.n != 0 && base.n <= ~std::uint64_t{0} - bytes.n);
}

// Counts the call; true when it is to fail.
bool fails(Call call) {
  const auto i = static_cast<std::size_t>(call);
  ++world().calls[i];
  Failure& failure = world().failures[i];
  if (failure.times == 0) return false;
  if (failure.after > 0) return --failure.after, false;
  --failure.times;
  return true;
}

Bytes sum_of(State at_least) {
  Bytes sum;
  for (const auto& [begin, run] : world().runs) {
    if (run.state >= at_least) sum += Bytes(run.end - begin);
  }
  return sum;
}

State state_at(std::uint64_t addr) {
  auto it = world().runs.upper_bound(addr);
  if (it == world().runs.begin()) return State::kUnmapped;
  --it;
  return addr < it->second.end ? it->second.state : State::kUnmapped;
}

// Makes `addr` the border of two runs, if it is inside one.
void split(std::uint64_t addr) {
  auto it = world().runs.lower_bound(addr);
  if (it == world().runs.begin()) return;
  --it;
  if (it->second.end <= addr) return;
  Run upper = it->second;
  it->second.end = addr;
  world().runs.emplace(addr, upper);
}

// The least state of any page of the range.
State least_state(Addr base, Bytes bytes) {
  State least = State::kCommitted;
  for (std::uint64_t at = base.n; at < base.n + bytes.n;) {
    auto it = world().runs.upper_bound(at);
    if (it == world().runs.begin() || std::prev(it)->second.end <= at) return State::kUnmapped;
    least = std::min(least, std::prev(it)->second.state);
    at = std::prev(it)->second.end;
  }
  return least;
}

Bytes committed_in(Addr base, Bytes bytes) {
  split(base.n);
  split(base.n + bytes.n);
  Bytes sum;
  auto it = world().runs.lower_bound(base.n);
  for (; it != world().runs.end() && it->first < base.n + bytes.n; ++it) {
    if (it->second.state == State::kCommitted) sum += Bytes(it->second.end - it->first);
  }
  return sum;
}

void set_state(Addr base, Bytes bytes, State state) {
  auto& runs = world().runs;
  split(base.n);
  split(base.n + bytes.n);
  runs.erase(runs.lower_bound(base.n), runs.lower_bound(base.n + bytes.n));
  if (state != State::kUnmapped) runs.emplace(base.n, Run{base.n + bytes.n, state});
}

bool holds_pooled(Addr base, Bytes bytes) {
  const auto& runs = world().runs;
  return std::any_of(runs.begin(), runs.end(), [=](const auto& entry) {
    return entry.second.pooled && entry.first < base.n + bytes.n && base.n < entry.second.end;
  });
}

// The kernel carries out a part of what is asked for a part of a page of the pool, and says
// nothing.
void forbid_pooled(const char* what, Addr base, Bytes bytes) {
  if (holds_pooled(base, bytes)) forbidden(what, base, bytes);
}

// Ends of the range do not lie within pages of the pool.
void require_whole(const char* what, Addr base, Bytes bytes) {
  for (const Addr end : {base, base + bytes}) {
    if (is_aligned(end.n, os::kPooledPage.n)) continue;
    forbid_pooled(what, Addr(round_down(end.n, os::kPooledPage.n)), os::kPooledPage);
  }
}

Bytes left_of_pool() {
  Bytes taken;
  for (const auto& [begin, run] : world().runs) {
    if (run.pooled) taken += Bytes(run.end - begin);
  }
  return world().options.pool - taken;
}
template <class Change>
void change_runs(Addr base, Bytes bytes, Change change) {
  split(base.n);
  split(base.n + bytes.n);
  auto it = world().runs.lower_bound(base.n);
  for (; it != world().runs.end() && it->first < base.n + bytes.n; ++it) change(it->second);
}

int preferred_at(std::uint64_t addr) {
  auto it = world().runs.upper_bound(addr);
  if (it == world().runs.begin()) return -1;
  --it;
  return addr < it->second.end ? it->second.node : -1;
}

thread_local unsigned t_node = 0;

// For calls on memory that must be ours, in at least the given state.
void require(const char* what, Addr base, Bytes bytes, State at_least) {
  check_range(base, bytes);
  if (least_state(base, bytes) < at_least) forbidden(what, base, bytes);
}

bool within_limits(Bytes more_mapped, Bytes more_committed) {
  const Options& o = world().options;
  const Bytes is_mapped = sum_of(State::kReserved);
  const Bytes is_committed = sum_of(State::kCommitted);
  return is_mapped <= o.address_limit && more_mapped <= o.address_limit - is_mapped &&
         is_committed <= o.commit_limit && more_committed <= o.commit_limit - is_committed;
}

std::uint64_t real_page() { return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)); }

constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

void unmap(std::uint64_t begin, std::uint64_t end) {
  if (begin < end) REAM_CHECK(::munmap(Addr(begin).ptr(), end - begin) == 0);
}

Addr map_aligned(Bytes bytes, Bytes align, State state) {
  const std::uint64_t page = world().options.page_size.n;
  REAM_CHECK(is_power_of_two(align.n) && bytes.n != 0 && is_aligned(bytes.n, page));
  const std::uint64_t unit = std::max(align.n, page);
  if (bytes.n > kUserLimit.n || unit > kUserLimit.n) return Addr();
  if (!within_limits(bytes, state == State::kCommitted ? bytes : Bytes())) return Addr();
  const int protection = state == State::kCommitted ? PROT_READ | PROT_WRITE : PROT_NONE;
  void* p = ::mmap(nullptr, bytes.n + unit, protection, kFlags, -1, 0);
  if (p == MAP_FAILED) return Addr();
  const std::uint64_t begin = Addr(p).n;
  const Addr base(round_up(begin, unit));
  unmap(begin, base.n);
  unmap(base.n + bytes.n, begin + bytes.n + unit);
  set_state(base, bytes, state);
  return base;
}

bool zero_by_purge(Addr base, Bytes bytes) {
  return ::madvise(base.ptr(), bytes.n, MADV_DONTNEED) == 0;
}

}  // namespace

void reset(const Options& options) {
  const Entry entry;
  REAM_CHECK(is_power_of_two(options.page_size.n) && options.page_size.n <= 65536 &&
             options.page_size.n >= real_page());
  World& w = world();
  for (const auto& [begin, run] : w.runs) unmap(begin, run.end);
  w.runs.clear();
  w.calls = {};
  w.failures = {};
  w.purged.clear();
  w.collapsed.clear();
  w.now = 0;
  w.options = options;
}

void fail(Call call, std::size_t n, std::size_t times) {
  const Entry entry;
  world().failures[static_cast<std::size_t>(call)] = {n - 1, times};
}

void succeed_again() {
  const Entry entry;
  world().failures = {};
}

std::size_t calls(Call call) {
  const Entry entry;
  return world().calls[static_cast<std::size_t>(call)];
}

Bytes mapped() {
  const Entry entry;
  return sum_of(State::kReserved);
}

Bytes committed() {
  const Entry entry;
  return sum_of(State::kCommitted);
}

State state_of(Addr addr) {
  const Entry entry;
  return state_at(addr.n);
}

std::vector<MemoryRange> purged() {
  const Entry entry;
  return world().purged;
}

Bytes advised_huge() {
  const Entry entry;
  Bytes sum;
  for (const auto& [begin, run] : world().runs) {
    if (run.huge) sum += Bytes(run.end - begin);
  }
  return sum;
}

Bytes pool_free() {
  const Entry entry;
  return left_of_pool();
}

Bytes advised_against_huge() {
  const Entry entry;
  Bytes sum;
  for (const auto& [begin, run] : world().runs) {
    if (run.against_huge) sum += Bytes(run.end - begin);
  }
  return sum;
}

std::vector<MemoryRange> collapsed() {
  const Entry entry;
  return world().collapsed;
}

void advance_clock(std::uint64_t ns) {
  const Entry entry;
  world().now += ns;
}

void go_to_node(unsigned node) { t_node = node; }

int preferred_node(Addr addr) {
  const Entry entry;
  return preferred_at(addr.n);
}

Bytes os_page_size() noexcept {
  const Entry entry;
  return world().options.page_size;
}

Addr reserve(Bytes bytes, Bytes align) noexcept {
  const Entry entry;
  return fails(Call::kReserve) ? Addr() : map_aligned(bytes, align, State::kReserved);
}

bool commit(Addr base, Bytes bytes) noexcept {
  const Entry entry;
  require("commit of unmapped memory", base, bytes, State::kReserved);
  if (fails(Call::kCommit) || !within_limits(Bytes(), bytes - committed_in(base, bytes)))
    return false;
  if (::mprotect(base.ptr(), bytes.n, PROT_READ | PROT_WRITE) != 0) return false;
  // Run by run: huge-page advice outlives a commit.
  change_runs(base, bytes, [](Run& run) { run.state = State::kCommitted; });
  return true;
}

bool renew(Addr base, Bytes bytes) noexcept {
  const Entry entry;
  require("renewal of uncommitted memory", base, bytes, State::kCommitted);
  require_whole("renewal of a part of a page of the pool", base, bytes);
  if (fails(Call::kCommit)) return false;
  change_runs(base, bytes, [](Run& run) { run.node = -1; });
  if (::mmap(base.ptr(), bytes.n, PROT_READ | PROT_WRITE, kFlags | MAP_FIXED, -1, 0) == MAP_FAILED)
    return false;
  if (holds_pooled(base, bytes)) set_state(base, bytes, State::kCommitted);
  return true;
}

bool decommit(Addr base, Bytes bytes) noexcept {
  const Entry entry;
  require("decommit of unmapped memory", base, bytes, State::kReserved);
  forbid_pooled("decommit of memory of the pool", base, bytes);
  if (fails(Call::kDecommit)) return false;
  if (::mmap(base.ptr(), bytes.n, PROT_NONE, kFlags | MAP_FIXED, -1, 0) == MAP_FAILED) return false;
  set_state(base, bytes, State::kReserved);
  return true;
}

bool release(Addr base, Bytes bytes) noexcept {
  const Entry entry;
  require("release of unmapped memory", base, bytes, State::kReserved);
  require_whole("release of a part of a page of the pool", base, bytes);
  if (fails(Call::kRelease)) return false;
  unmap(base.n, base.n + bytes.n);
  set_state(base, bytes, State::kUnmapped);
  return true;
}

Addr map_at(Addr hint, Bytes bytes) noexcept {
  const Entry entry;
  check_range(hint, bytes);
  if (fails(Call::kMapAt) || !within_limits(bytes, bytes)) return Addr();
  void* p = ::mmap(hint.ptr(), bytes.n, PROT_READ | PROT_WRITE, kFlags | os::kMapExactly, -1, 0);
  if (p == MAP_FAILED) return Addr();
  if (p != hint.ptr()) return unmap(Addr(p).n, Addr(p).n + bytes.n), Addr();
  set_state(hint, bytes, State::kCommitted);
  return hint;
}

Addr map_anywhere(Bytes bytes, Bytes align) noexcept {
  const Entry entry;
  return fails(Call::kMapAnywhere) ? Addr() : map_aligned(bytes, align, State::kCommitted);
}

Addr map_pooled_at(Addr hint, Bytes bytes) noexcept {
  const Entry entry;
  check_range(hint, bytes);
  REAM_CHECK(is_aligned(hint.n | bytes.n, os::kPooledPage.n));
  if (fails(Call::kMapPooled) || !within_limits(bytes, bytes) || bytes > left_of_pool())
    return Addr();
  void* p = ::mmap(hint.ptr(), bytes.n, PROT_READ | PROT_WRITE, kFlags | os::kMapExactly, -1, 0);
  if (p == MAP_FAILED) return Addr();
  if (p != hint.ptr()) return unmap(Addr(p).n, Addr(p).n + bytes.n), Addr();
  set_state(hint, bytes, State::kCommitted);
  world().runs.at(hint.n).pooled = true;
  return hint;
}

bool protect(Addr base, Bytes bytes, Protection protection) noexcept {
  const Entry entry;
  require("protection of memory that is not committed", base, bytes, State::kCommitted);
  if (fails(Call::kProtect)) return false;
  constexpr int kOf[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
  return ::mprotect(base.ptr(), bytes.n, kOf[static_cast<unsigned>(protection)]) == 0;
}

bool purge(Addr base, Bytes bytes) noexcept {
  const Entry entry;
  require("purge of memory that is not committed", base, bytes, State::kCommitted);
  forbid_pooled("purge of memory of the pool", base, bytes);
  if (fails(Call::kPurge) || !zero_by_purge(base, bytes)) return false;
  world().purged.push_back({base, bytes});
  return true;
}

// Every second page becomes zero, so that no caller can count on either.
bool purge_lazy(Addr base, Bytes bytes) noexcept {
  const Entry entry;
  require("lazy purge of memory that is not committed", base, bytes, State::kCommitted);
  forbid_pooled("lazy purge of memory of the pool", base, bytes);
  if (fails(Call::kPurgeLazy)) return false;
  const Bytes page = world().options.page_size;
  for (Addr at = base; at < base + bytes; at = at + page + page) zero_by_purge(at, page);
  return true;
}

std::size_t purge_batch(const MemoryRange* ranges, std::size_t count) noexcept {
  const Entry entry;
  const std::size_t done = fails(Call::kPurgeBatch) ? count / 2 : count;
  for (std::size_t i = 0; i < count; ++i) {
    require("purge of memory that is not committed", ranges[i].base, ranges[i].bytes,
            State::kCommitted);
    forbid_pooled("purge of memory of the pool", ranges[i].base, ranges[i].bytes);
    if (i >= done) continue;
    zero_by_purge(ranges[i].base, ranges[i].bytes);
    world().purged.push_back(ranges[i]);
  }
  return done;
}

// A made-up page is in memory when any of the real pages in it is.
Bytes resident_bytes(Addr base, Bytes bytes) noexcept {
  const Entry entry;
  check_range(base, bytes);
  const std::uint64_t page = world().options.page_size.n;
  Bytes resident;
  for (Addr at = base; at < base + bytes; at = at + Bytes(page)) {
    unsigned char in_memory[16];
    if (::mincore(at.ptr(), page, in_memory) != 0) continue;
    const bool any = std::any_of(in_memory, in_memory + page / real_page(),
                                 [](unsigned char c) { return (c & 1) != 0; });
    if (any) resident += Bytes(page);
  }
  return resident;
}

Bytes huge_page_size() noexcept {
  const Entry entry;
  return world().options.huge_page_size;
}

os::HugePageRule huge_page_rule() noexcept {
  const Entry entry;
  return world().options.huge_page_rule;
}

bool advise_huge(Addr base, Bytes bytes, bool on) noexcept {
  const Entry entry;
  require("advice on unmapped memory", base, bytes, State::kReserved);
  if (fails(Call::kAdviseHuge) || world().options.huge_page_size == Bytes()) return false;
  // Real huge pages would make resident_bytes depend on the machine.
  ::madvise(base.ptr(), bytes.n, MADV_NOHUGEPAGE);
  change_runs(base, bytes, [on](Run& run) {
    run.huge = on;
    run.against_huge = !on;
  });
  return true;
}

bool collapse_huge(Addr base, Bytes bytes) noexcept {
  const Entry entry;
  require("collapse of memory that is not committed", base, bytes, State::kCommitted);
  forbid_pooled("collapse of memory of the pool", base, bytes);
  const Bytes huge = world().options.huge_page_size;
  if (fails(Call::kCollapseHuge) || huge == Bytes() ||
      round_up(base.n, huge.n) + huge.n > base.n + bytes.n)
    return false;
  world().collapsed.push_back({base, bytes});
  return true;
}

bool move_pages(Addr from, Addr to, Bytes bytes) noexcept {
  const Entry entry;
  require("move of memory that is not committed", from, bytes, State::kCommitted);
  require("move onto memory that is not committed", to, bytes, State::kCommitted);
  forbid_pooled("move of memory of the pool", from, bytes);
  forbid_pooled("move onto memory of the pool", to, bytes);
  REAM_CHECK(from + bytes <= to || to + bytes <= from);
  if (fails(Call::kMovePages)) return false;
  std::memcpy(to.ptr(), from.ptr(), bytes.n);
  const int node = preferred_at(from.n);
  change_runs(to, bytes, [node](Run& run) { run.node = node; });
  return zero_by_purge(from, bytes);
}

// The slow, obvious way: all mappings as text, then the first gap.
Addr find_unmapped(Bytes bytes, Bytes align, Addr hint) noexcept {
  const Entry entry;
  const std::uint64_t page = world().options.page_size.n;
  REAM_CHECK(is_power_of_two(align.n) && bytes.n != 0 && is_aligned(bytes.n, page));
  if (fails(Call::kFindUnmapped)) return Addr();
  const std::uint64_t unit = std::max(align.n, page);
  if (hint.n > kUserLimit.n || unit > kUserLimit.n || bytes.n > kUserLimit.n) return Addr();
  std::uint64_t at = round_up(std::max<std::uint64_t>(hint.n, 65536), unit);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = std::stoull(line, nullptr, 16);
    const std::uint64_t end = std::stoull(line.substr(line.find('-') + 1), nullptr, 16);
    if (line.ends_with("[stack]")) begin -= 1ULL << 30;
    if (end <= at) continue;
    if (at < begin && bytes.n <= begin - at) break;
    at = round_up(end, unit);
  }
  return at <= kUserLimit.n && bytes.n <= kUserLimit.n - at ? Addr(at) : Addr();
}

Addr user_address_limit() noexcept { return kUserLimit; }

std::uint64_t now_ns() noexcept {
  const Entry entry;
  return world().now;
}

unsigned node_here(const os::NumaNodes&) noexcept { return t_node; }

bool prefer_node(Addr base, Bytes bytes, unsigned system_node) noexcept {
  const Entry entry;
  require("node of unmapped memory", base, bytes, State::kReserved);
  if (fails(Call::kPreferNode)) return false;
  change_runs(base, bytes, [system_node](Run& run) { run.node = static_cast<int>(system_node); });
  return true;
}

}  // namespace ream::fake_os
