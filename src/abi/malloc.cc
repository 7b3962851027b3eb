// The malloc family, as C23, POSIX and glibc's manual describe it. Sizes are checked here, memory
// comes from the heap, errno is set here and nowhere below.
//
// Thread safety: all functions.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "abi/export.h"
#include "abi/report.h"
#include "base/bits.h"
#include "heap/heap.h"
#include "heap/heap_start.h"
#include "os/os.h"

namespace {

using ream::g_heap;

[[gnu::used]] const bool* const kTiesReport = &ream::kHasReport;

// glibc's limit, and what compilers assume.
constexpr std::size_t kMaxRequest = PTRDIFF_MAX;

REAM_COLD void* no_memory() noexcept {
  errno = ENOMEM;
  return nullptr;
}

REAM_COLD void* invalid() noexcept {
  errno = EINVAL;
  return nullptr;
}

REAM_INLINE void* or_no_memory(void* p) noexcept {
  if (p == nullptr) [[unlikely]]
    return no_memory();
  return p;
}

void* aligned(std::size_t alignment, std::size_t bytes) noexcept {
  if (bytes > kMaxRequest) return no_memory();
  if (alignment <= ream::kMinAlignment) return or_no_memory(g_heap.allocate(bytes));
  return or_no_memory(g_heap.allocate_aligned(bytes, alignment));
}

}  // namespace

[[gnu::noinline]] static void* malloc_uncached(std::size_t bytes) noexcept {
  return or_no_memory(g_heap.allocate_uncached(bytes));
}

REAM_EXPORT void* malloc(std::size_t bytes) noexcept {
  void* p = g_heap.allocate_cached(bytes);
  if (p == nullptr) [[unlikely]]
    return malloc_uncached(bytes);
  return p;
}

REAM_EXPORT void free(void* p) noexcept { g_heap.free(p); }

REAM_EXPORT void* calloc(std::size_t count, std::size_t each) noexcept {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, each, &bytes)) return no_memory();
  return or_no_memory(g_heap.allocate_zeroed(bytes));
}

// realloc(p, 0) frees p and returns null, as glibc does.
REAM_EXPORT void* realloc(void* p, std::size_t bytes) noexcept {
  if (p == nullptr) return malloc(bytes);
  if (bytes == 0) {
    g_heap.reallocate_to_nothing(p);
    return nullptr;
  }
  return or_no_memory(g_heap.reallocate(p, bytes));
}

REAM_EXPORT void* reallocarray(void* p, std::size_t count, std::size_t each) noexcept {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, each, &bytes)) return no_memory();
  return realloc(p, bytes);
}

REAM_EXPORT void free_sized(void* p, std::size_t bytes) noexcept { g_heap.free_sized(p, bytes); }

REAM_EXPORT void free_aligned_sized(void* p, std::size_t alignment, std::size_t bytes) noexcept {
  if (!ream::is_aligned(ream::Addr(p).n, alignment | (alignment == 0))) {
    ream::fatal_at("free_aligned_sized with a wrong alignment", ream::Addr(p).n);
  }
  g_heap.free_sized(p, bytes);
}

// C23 leaves other alignments undefined; POSIX and glibc ask for a power of two.
REAM_EXPORT void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  if (!ream::is_power_of_two(alignment)) return invalid();
  return aligned(alignment, bytes);
}

// Reports by its result alone: errno stays as it is.
REAM_EXPORT int posix_memalign(void** result, std::size_t alignment, std::size_t bytes) noexcept {
  if (!ream::is_power_of_two(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  const int before = errno;
  void* p = aligned(alignment, bytes);
  errno = before;
  if (p == nullptr) return ENOMEM;
  *result = p;
  return 0;
}

// glibc rounds an alignment that is no power of two up to the next.
REAM_EXPORT void* memalign(std::size_t alignment, std::size_t bytes) noexcept {
  if (alignment > kMaxRequest) return invalid();
  return aligned(std::size_t{1} << ream::log2_ceil(alignment), bytes);
}

REAM_EXPORT void* valloc(std::size_t bytes) noexcept {
  return aligned(ream::os::os_page_size().n, bytes);
}

REAM_EXPORT void* pvalloc(std::size_t bytes) noexcept {
  const std::size_t page = ream::os::os_page_size().n;
  if (bytes > kMaxRequest - page) return no_memory();
  return aligned(page, ream::round_up(bytes == 0 ? 1 : bytes, page));
}

REAM_EXPORT std::size_t malloc_usable_size(void* p) noexcept {
  return p == nullptr ? 0 : g_heap.usable_size(p);
}

// Starts the heap when the library is loaded, if no allocation did so before. Its fork handlers are
// then registered before those of main, which so run while ream's locks are free and may allocate
// (what was registered first prepares last).
[[gnu::constructor(101)]] static void start_at_load() noexcept { ream::start_heap(); }
