// Every replaceable operator new and delete of C++20 ([new.delete]), without linking the C++
// runtime: the new handler and the exception come from it through weak symbols, if the program has
// one.
//
// Thread safety: all functions.
#include <cstddef>
#include <new>

#include "abi/operator_new.h"
#include "base/check.h"
#include "heap/heap.h"

// In libstdc++; libc++ throws through a function of its own.
extern "C" {
[[gnu::weak]] std::new_handler _ZSt15get_new_handlerv();
[[gnu::weak, noreturn]] void _ZSt17__throw_bad_allocv();
[[gnu::weak, noreturn]] void _ZNSt3__117__throw_bad_allocEv();
}

namespace ream {
namespace {

REAM_INLINE void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
  if (alignment <= kMinAlignment) return g_heap.allocate(bytes);
  return g_heap.allocate_aligned(bytes, alignment);
}

[[noreturn]] REAM_COLD void throw_bad_alloc() {
  if (_ZSt17__throw_bad_allocv != nullptr) _ZSt17__throw_bad_allocv();
  if (_ZNSt3__117__throw_bad_allocEv != nullptr) _ZNSt3__117__throw_bad_allocEv();
  fatal("out of memory in operator new, and no C++ runtime to throw std::bad_alloc");
}

REAM_COLD void* allocate_slow(std::size_t bytes, std::size_t alignment) {
  void* p = allocate_with_handler(bytes, alignment);
  if (p == nullptr) throw_bad_alloc();
  return p;
}

[[gnu::noinline]] void* allocate_uncached_or_throw(std::size_t bytes) {
  void* p = g_heap.allocate_uncached(bytes);
  return p != nullptr ? p : allocate_slow(bytes, 1);
}

REAM_INLINE void* allocate_or_throw(std::size_t bytes) {
  void* p = g_heap.allocate_cached(bytes);
  if (p == nullptr) [[unlikely]]
    return allocate_uncached_or_throw(bytes);
  return p;
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  void* p = allocate(bytes, alignment);
  return p != nullptr ? p : allocate_slow(bytes, alignment);
}

}  // namespace

void* allocate_with_handler(std::size_t bytes, std::size_t alignment) {
  for (;;) {
    if (void* p = allocate(bytes, alignment)) return p;
    if (_ZSt15get_new_handlerv == nullptr) return nullptr;
    const std::new_handler handler = _ZSt15get_new_handlerv();
    if (handler == nullptr) return nullptr;
    handler();
  }
}

}  // namespace ream

using ream::allocate_or_throw;
using ream::g_heap;

REAM_OPERATOR void* operator new(std::size_t n) { return allocate_or_throw(n); }
REAM_OPERATOR void* operator new[](std::size_t n) { return allocate_or_throw(n); }
REAM_OPERATOR void* operator new(std::size_t n, std::align_val_t a) {
  return allocate_or_throw(n, static_cast<std::size_t>(a));
}
REAM_OPERATOR void* operator new[](std::size_t n, std::align_val_t a) {
  return allocate_or_throw(n, static_cast<std::size_t>(a));
}

REAM_OPERATOR void operator delete(void* p) noexcept { g_heap.free(p); }
REAM_OPERATOR void operator delete[](void* p) noexcept { g_heap.free(p); }
REAM_OPERATOR void operator delete(void* p, std::size_t) noexcept { g_heap.free(p); }
REAM_OPERATOR void operator delete[](void* p, std::size_t) noexcept { g_heap.free(p); }
REAM_OPERATOR void operator delete(void* p, std::align_val_t) noexcept { g_heap.free(p); }
REAM_OPERATOR void operator delete[](void* p, std::align_val_t) noexcept { g_heap.free(p); }
REAM_OPERATOR void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  g_heap.free(p);
}
REAM_OPERATOR void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
  g_heap.free(p);
}
REAM_OPERATOR void operator delete(void* p, const std::nothrow_t&) noexcept { g_heap.free(p); }
REAM_OPERATOR void operator delete[](void* p, const std::nothrow_t&) noexcept { g_heap.free(p); }
REAM_OPERATOR void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept {
  g_heap.free(p);
}
REAM_OPERATOR void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept {
  g_heap.free(p);
}
