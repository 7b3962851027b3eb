// A malloc with a fault, to show that `stress` finds it: from some call on, requests of some sizes
// all get the same block. All else is libc's.
#include <atomic>
#include <cstddef>

extern "C" void* __libc_malloc(std::size_t bytes);
extern "C" void __libc_free(void* p);

namespace {

constexpr unsigned kHealthyCalls = 3000;

std::atomic<void*> g_shared{nullptr};
std::atomic<unsigned> g_calls{0};

}  // namespace

extern "C" void* malloc(std::size_t bytes) {
  const unsigned call = g_calls.fetch_add(1);
  if (bytes < 64 || bytes > 128 || call < kHealthyCalls) return __libc_malloc(bytes);
  if (g_shared == nullptr) g_shared = __libc_malloc(4096);
  return g_shared;
}

extern "C" void free(void* p) {
  if (p == nullptr || p != g_shared.load()) __libc_free(p);
}
