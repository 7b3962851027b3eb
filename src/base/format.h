// Bounded formatting without allocation: appends text to a buffer on the caller's stack, silently
// cut at its end. Used by fatal messages, which may not allocate, throw or lock.
//
// Thread safety: a buffer belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ream {

template <std::size_t kCapacity>
class TextBuffer {
 public:
  TextBuffer& text(const char* s) noexcept {
    while (*s != '\0') put(*s++);
    return *this;
  }

  // `0x` and lower-case digits without leading zeros.
  TextBuffer& hex(std::uint64_t x) noexcept { return text("0x").digits(x, 16); }
  TextBuffer& dec(std::uint64_t x) noexcept { return digits(x, 10); }

  [[nodiscard]] const char* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  void put(char c) noexcept {
    if (size_ < kCapacity) data_[size_++] = c;
  }

  TextBuffer& digits(std::uint64_t x, unsigned base) noexcept {
    char reversed[20];
    unsigned n = 0;
    do {
      reversed[n++] = "0123456789abcdef"[x % base];
      x /= base;
    } while (x != 0);
    while (n > 0) put(reversed[--n]);
    return *this;
  }

  char data_[kCapacity];
  std::size_t size_ = 0;
};

}  // namespace ream
