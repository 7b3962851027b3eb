// operator new with std::nothrow. Its new handler may throw where the caller asked for null, so
// this file alone is built with exceptions. What catching needs of the C++ runtime is referred to
// weakly: in a program without that runtime there is no handler, and nothing is thrown.
//
// Thread safety: all functions.
#include <cstddef>
#include <new>

#include "abi/operator_new.h"

asm(".weak __gxx_personality_v0\n\t.weak __cxa_begin_catch\n\t.weak __cxa_end_catch\n\t.weak "
    "_ZSt9terminatev");

namespace {

void* allocate_or_null(std::size_t bytes, std::size_t alignment) noexcept {
  try {
    return ream::allocate_with_handler(bytes, alignment);
  } catch (...) {
    return nullptr;
  }
}

}  // namespace

REAM_OPERATOR void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  return allocate_or_null(n, 1);
}
REAM_OPERATOR void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
  return allocate_or_null(n, 1);
}
REAM_OPERATOR void* operator new(std::size_t n, std::align_val_t a,
                                 const std::nothrow_t&) noexcept {
  return allocate_or_null(n, static_cast<std::size_t>(a));
}
REAM_OPERATOR void* operator new[](std::size_t n, std::align_val_t a,
                                   const std::nothrow_t&) noexcept {
  return allocate_or_null(n, static_cast<std::size_t>(a));
}
