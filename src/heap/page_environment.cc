#include "heap/page_environment.h"

#include <cstring>

#include "base/bits.h"
#include "os/os.h"

namespace ream {
namespace {

void* reserve(void*, Bytes bytes) noexcept {
  const Bytes page = os::os_page_size();
  return os::reserve(Bytes(round_up(bytes.n, page.n)), page).ptr();
}

// The page layer commits in steps of 4 KiB; OS pages may be larger.
bool commit(void*, void* begin, Bytes bytes) noexcept {
  const std::uint64_t page = os::os_page_size().n;
  const std::uint64_t first = round_down(Addr(begin).n, page);
  return os::commit(Addr(first), Bytes(round_up(Addr(begin).n + bytes.n, page) - first));
}

void release(void*, void* begin, Bytes bytes) noexcept {
  os::release(Addr(begin), Bytes(round_up(bytes.n, os::os_page_size().n)));
}

// Whatever happens, the range reads as zero afterwards: where the OS keeps the memory (because the
// program locked it), it is cleared; so are the ends of a range that share an OS page with others.
void purge(void*, Addr begin, Bytes bytes) noexcept {
  const std::uint64_t page = os::os_page_size().n;
  const std::uint64_t end = begin.n + bytes.n;
  const std::uint64_t first = round_up(begin.n, page);
  const std::uint64_t last = round_down(end, page);
  if (first >= last || !os::purge(Addr(first), Bytes(last - first))) {
    std::memset(begin.ptr(), 0, bytes.n);
    return;
  }
  std::memset(begin.ptr(), 0, first - begin.n);
  std::memset(Addr(last).ptr(), 0, end - last);
}

bool advise_huge(void*, void* begin, Bytes bytes, bool on) noexcept {
  return os::advise_huge(Addr(begin), bytes, on);
}

std::uint64_t now_ns(void*) noexcept { return os::now_ns(); }

constexpr page::Environment kEnvironment{
    .context = nullptr,
    .reserve = reserve,
    .commit = commit,
    .release = release,
    .purge = purge,
    .advise_huge = advise_huge,
    .now_ns = now_ns,
};

}  // namespace

const page::Environment& page_environment() noexcept { return kEnvironment; }

}  // namespace ream
