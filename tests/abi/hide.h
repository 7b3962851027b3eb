// hide(x): x, but the compiler does not know that it is. Keeps it from removing pairs of malloc and
// free, from folding sizes, and from warning of what these tests do on purpose.
#pragma once

#include <cstddef>
#include <cstdint>

namespace abi_test {

template <typename T>
T hide(T value) {
  asm volatile("" : "+r"(value) : : "memory");
  return value;
}

inline bool is_aligned(const void* p, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(p) % alignment == 0;
}

// Sizes around every power of two up to 64 MiB, and 0.
template <typename Visit>
void for_sizes(Visit visit) {
  visit(std::size_t{0});
  for (std::size_t n = 1; n <= (64u << 20); n *= 2) {
    visit(n - 1);
    visit(n);
    visit(n + 1);
    visit(n + n / 2);
  }
}

}  // namespace abi_test
