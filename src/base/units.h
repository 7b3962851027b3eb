// Units as types: a count of bytes, a count of pages and an address cannot be mixed up across a
// function boundary. Each is one 64-bit integer; conversions between them name the page shift.
//
// Thread safety: plain values.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace ream {

// A quantity with a unit. Arithmetic stays within the unit; `n` is the raw number.
template <class Unit>
struct Quantity {
  std::uint64_t n = 0;

  constexpr Quantity() noexcept = default;
  explicit constexpr Quantity(std::uint64_t count) noexcept : n(count) {}

  friend constexpr auto operator<=>(Quantity, Quantity) noexcept = default;
  friend constexpr Quantity operator+(Quantity a, Quantity b) noexcept {
    return Quantity(a.n + b.n);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) noexcept {
    return Quantity(a.n - b.n);
  }
  friend constexpr Quantity operator*(Quantity a, std::uint64_t k) noexcept {
    return Quantity(a.n * k);
  }
  constexpr Quantity& operator+=(Quantity b) noexcept {
    n += b.n;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity b) noexcept {
    n -= b.n;
    return *this;
  }
};

using Bytes = Quantity<struct BytesUnit>;
using Pages = Quantity<struct PagesUnit>;

// An address, as a number. Never dereferenced by the page layer.
struct Addr {
  std::uint64_t n = 0;

  constexpr Addr() noexcept = default;
  explicit constexpr Addr(std::uint64_t value) noexcept : n(value) {}
  explicit Addr(const void* p) noexcept : n(reinterpret_cast<std::uintptr_t>(p)) {}

  [[nodiscard]] void* ptr() const noexcept { return reinterpret_cast<void*>(n); }

  friend constexpr auto operator<=>(Addr, Addr) noexcept = default;
  friend constexpr Addr operator+(Addr a, Bytes b) noexcept { return Addr(a.n + b.n); }
  friend constexpr Addr operator-(Addr a, Bytes b) noexcept { return Addr(a.n - b.n); }
  friend constexpr Bytes operator-(Addr a, Addr b) noexcept { return Bytes(a.n - b.n); }
};

constexpr Bytes operator""_B(unsigned long long n) noexcept { return Bytes(n); }
constexpr Bytes operator""_KiB(unsigned long long n) noexcept { return Bytes(n << 10); }
constexpr Bytes operator""_MiB(unsigned long long n) noexcept { return Bytes(n << 20); }
constexpr Bytes operator""_GiB(unsigned long long n) noexcept { return Bytes(n << 30); }
constexpr Bytes operator""_TiB(unsigned long long n) noexcept { return Bytes(n << 40); }
constexpr Pages operator""_pages(unsigned long long n) noexcept { return Pages(n); }

}  // namespace ream
