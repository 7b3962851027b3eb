// Holes in the process's address space, from /proc/self/maps:
//
//   55d0c0a00000-55d0c0a02000 r--p 00000000 08:01 131 /usr/bin/cat
//   7ffd5b5e7000-7ffd5b608000 rw-p 00000000 00:00 0   [stack]
//
// Lines come in the order of addresses. The file is read in pieces through a buffer on the stack
// and parsed a character at a time; only the two addresses and "[stack]" matter.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "os/errno_keeper.h"
#include "os/exact_map.h"
#include "os/memory.h"
#include "os/range_check.h"

namespace ream::os {
namespace {

#if defined(__aarch64__)
constexpr std::uint64_t kUserLimit = 1ULL << 48;
#elif defined(__LP64__)
constexpr std::uint64_t kUserLimit = (1ULL << 47) - 4096;  // x86-64 keeps the last page to itself
#else
constexpr std::uint64_t kUserLimit = 0xC0000000ULL;
#endif
constexpr std::uint64_t kLowest = 1ULL << 16;     // vm.mmap_min_addr's default
constexpr std::uint64_t kStackGap = 1ULL << 20;   // the kernel's guard gap below a stack
constexpr std::uint64_t kMostStack = 1ULL << 30;  // room kept when RLIMIT_STACK is unlimited

// How far below its present end the main stack may still grow.
std::uint64_t stack_room() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_STACK, &limit) != 0) return kMostStack;
  return std::min<std::uint64_t>(limit.rlim_cur, kMostStack) + kStackGap;
}

struct Mapping {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool is_stack = false;
};

// Reads mappings one by one.
class MapsReader {
 public:
  MapsReader() noexcept : fd_(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC | O_NOCTTY)) {}
  ~MapsReader() {
    if (fd_ >= 0) ::close(fd_);
  }
  MapsReader(const MapsReader&) = delete;
  MapsReader& operator=(const MapsReader&) = delete;

  // False once the file is not there, could not be read, or held something unexpected.
  [[nodiscard]] bool good() const noexcept { return fd_ >= 0 && !failed_; }

  // False at the end of the file and when !good().
  bool next(Mapping* mapping) noexcept {
    int c = get();
    if (c < 0) return false;
    mapping->begin = hex(&c);
    if (c != '-') return failed_ = true, false;
    c = get();
    mapping->end = hex(&c);
    if (c != ' ') return failed_ = true, false;
    mapping->is_stack = rest_of_line_names_stack();
    return !failed_;
  }

 private:
  int get() noexcept {
    if (at_ == size_) {
      ssize_t n = -1;
      while (good() && (n = ::read(fd_, buffer_, sizeof buffer_)) < 0 && errno == EINTR) {
      }
      if (n < 0) failed_ = true;
      if (n <= 0) return -1;
      size_ = static_cast<std::size_t>(n);
      at_ = 0;
    }
    return static_cast<unsigned char>(buffer_[at_++]);
  }

  // Reads digits starting with *c; leaves the first character after them in *c.
  std::uint64_t hex(int* c) noexcept {
    std::uint64_t value = 0;
    for (;; *c = get()) {
      if (*c >= '0' && *c <= '9')
        value = value * 16 + static_cast<unsigned>(*c - '0');
      else if (*c >= 'a' && *c <= 'f')
        value = value * 16 + static_cast<unsigned>(*c - 'a' + 10);
      else
        return value;
    }
  }

  bool rest_of_line_names_stack() noexcept {
    constexpr char kName[] = "[stack]";
    std::size_t matched = 0;
    for (int c = get(); c != '\n'; c = get()) {
      if (c < 0) return failed_ = true, false;
      if (matched < sizeof kName - 1)
        matched = c == kName[matched] ? matched + 1 : (c == kName[0] ? 1 : 0);
    }
    return matched == sizeof kName - 1;
  }

  const int fd_;
  bool failed_ = false;
  std::size_t at_ = 0;
  std::size_t size_ = 0;
  char buffer_[2048];
};

// Without /proc: tries places at growing distances until the kernel grants one.
Addr find_by_probing(Bytes bytes, Bytes align, std::uint64_t from) noexcept {
  constexpr unsigned kProbes = 1024;
  const std::uint64_t smallest_step = std::max(round_up(bytes.n, align.n), align.n);
  std::uint64_t step = smallest_step;
  for (unsigned i = 0; i < kProbes && bytes.n <= kUserLimit && from <= kUserLimit - bytes.n; ++i) {
    const Addr at(from);
    void* p = ::mmap(at.ptr(), bytes.n, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | kMapExactly, -1, 0);
    if (p != MAP_FAILED) {
      ::munmap(p, bytes.n);
      if (p == at.ptr()) return at;
    }
    from += step;
    if (i % 16 == 15 && step < 1ULL << 40) step *= 2;
  }
  return Addr();
}

}  // namespace

Addr user_address_limit() noexcept { return Addr(round_down(kUserLimit, os_page_size().n)); }

Addr find_unmapped(Bytes bytes, Bytes align, Addr hint) noexcept {
  const std::uint64_t page = os_page_size().n;
  REAM_CHECK(is_power_of_two(align.n) && bytes.n != 0 && is_aligned(bytes.n, page));
  const ErrnoKeeper keep;
  const std::uint64_t unit = std::max(align.n, page);
  const std::uint64_t limit = user_address_limit().n;
  if (bytes.n > limit || hint.n > limit || unit > limit) return Addr();

  // `candidate` is aligned, and nothing seen so far reaches into it.
  const std::uint64_t start = round_up(std::max(hint.n, kLowest), unit);
  std::uint64_t candidate = start;
  const std::uint64_t stack_bytes = stack_room();
  MapsReader maps;
  for (Mapping mapping; maps.next(&mapping);) {
    if (mapping.is_stack) mapping.begin -= std::min(mapping.begin, stack_bytes);
    if (mapping.end <= candidate) continue;
    if (candidate <= mapping.begin && bytes.n <= mapping.begin - candidate) break;
    if (mapping.end > limit) return Addr();
    candidate = round_up(mapping.end, unit);
  }
  if (!maps.good()) return find_by_probing(bytes, Bytes(unit), start);
  return candidate <= limit && bytes.n <= limit - candidate ? Addr(candidate) : Addr();
}

}  // namespace ream::os
