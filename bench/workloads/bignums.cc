// Big numbers: every result of an operation is a new small block, and most die at once.
//
// The pattern of programs that factor numbers by continued fractions: values of a few machine
// words, several of them allocated per step, all within a handful of sizes.

#include <algorithm>
#include <cstring>
#include <utility>

#include "support.h"

namespace bench {
namespace {

// An unsigned number of `size` 32-bit limbs, least first, without leading zeros. Each value is a
// block of its own, header and limbs together, and never changes once made.
class Big {
 public:
  Big() = default;
  Big(Big&& other) noexcept : rep_(std::exchange(other.rep_, nullptr)) {}
  Big& operator=(Big&& other) noexcept {
    std::swap(rep_, other.rep_);
    return *this;
  }
  ~Big() { std::free(rep_); }

  static Big from(std::uint64_t value) {
    Big big(2);
    big.rep_->limbs[0] = static_cast<std::uint32_t>(value);
    big.rep_->limbs[1] = static_cast<std::uint32_t>(value >> 32);
    big.trim();
    return big;
  }

  // this * factor + addend
  Big times_plus(std::uint32_t factor, const Big& addend) const {
    Big result(std::max(size(), addend.size()) + 1);
    std::uint64_t carry = 0;
    for (std::uint32_t i = 0; i < result.rep_->size; ++i) {
      carry += std::uint64_t{limb(i)} * factor + addend.limb(i);
      result.rep_->limbs[i] = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    result.trim();
    return result;
  }

  // this - other. REQUIRES: other <= this.
  Big minus(const Big& other) const {
    Big result(size());
    std::int64_t borrow = 0;
    for (std::uint32_t i = 0; i < size(); ++i) {
      borrow += std::int64_t{limb(i)} - std::int64_t{other.limb(i)};
      result.rep_->limbs[i] = static_cast<std::uint32_t>(borrow);
      borrow >>= 32;
    }
    result.trim();
    return result;
  }

  bool less_than(const Big& other) const {
    for (std::uint32_t i = std::max(size(), other.size()); i-- > 0;) {
      if (limb(i) != other.limb(i)) {
        return limb(i) < other.limb(i);
      }
    }
    return false;
  }

  // this mod `modulus`. REQUIRES: this < modulus * 2^31, and the modulus has at least two limbs
  // with the top bit of the highest set; then the estimate below is never too large and short by at
  // most two.
  Big mod(const Big& modulus) const {
    const std::uint32_t top = modulus.size() - 1;
    const std::uint64_t high = std::uint64_t{limb(top + 1)} << 32 | limb(top);
    const auto quotient = static_cast<std::uint32_t>(high / (std::uint64_t{modulus.limb(top)} + 1));
    Big rest = minus(modulus.times_plus(quotient, Big()));
    while (!rest.less_than(modulus)) {
      rest = rest.minus(modulus);
    }
    return rest;
  }

  std::uint64_t low() const { return std::uint64_t{limb(1)} << 32 | limb(0); }

 private:
  struct Rep {
    std::uint32_t size;
    std::uint32_t limbs[];
  };

  explicit Big(std::uint32_t limbs)
      : rep_(static_cast<Rep*>(must_malloc(sizeof(Rep) + limbs * sizeof(std::uint32_t)))) {
    rep_->size = limbs;
  }

  std::uint32_t size() const { return rep_ != nullptr ? rep_->size : 0; }
  std::uint32_t limb(std::uint32_t i) const { return i < size() ? rep_->limbs[i] : 0; }

  void trim() {
    while (rep_->size > 0 && rep_->limbs[rep_->size - 1] == 0) {
      --rep_->size;
    }
  }

  Rep* rep_ = nullptr;
};

// Numerators of the convergents of a continued fraction, modulo a number of 256 bits.
Result bignum(double scale) {
  constexpr unsigned kLimbs = 8;
  constexpr unsigned kFactorBits = 16;
  Rng rng(7);
  Big modulus = Big::from(0xf123'4567'89ab'cdefu);
  for (unsigned i = 2; i < kLimbs; ++i) {
    // Shift up by one limb in two steps, since a factor is one limb at most.
    modulus =
        modulus.times_plus(1u << 16, Big()).times_plus(1u << 16, Big::from(rng.below(1u << 31)));
  }
  Big before = Big::from(1);
  Big now = Big::from(rng.next());
  Result result;
  const std::uint64_t steps = scaled(12'000'000, scale);
  for (std::uint64_t i = 0; i < steps; ++i) {
    const auto term = static_cast<std::uint32_t>(1 + rng.below((1u << kFactorBits) - 1));
    Big next = now.times_plus(term, before).mod(modulus);
    before = std::move(now);
    now = std::move(next);
    result.checksum += now.low();
  }
  result.ops = steps;
  return result;
}

constexpr Workload kBignums[] = {
    {"bignum", "continued fraction in 256-bit numbers, a block per value; ops are steps", bignum},
};

}  // namespace

std::span<const Workload> bignums() { return kBignums; }

}  // namespace bench
