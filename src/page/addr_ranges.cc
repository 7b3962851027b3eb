#include "page/addr_ranges.h"

#include <algorithm>

#include "base/check.h"
#include "page/meta_array.h"

namespace ream::page {

AddrRange AddrRange::subtract(const AddrRange& other) const noexcept {
  if (other.base <= base && limit <= other.limit) return {};
  REAM_CHECK(!(base < other.base && other.limit < limit));
  if (other.limit < limit && base < other.limit) return {other.limit, limit};
  if (base < other.base && other.base < limit) return {base, other.base};
  return *this;
}

AddrRange AddrRange::remove_greater_equal(Addr a) const noexcept {
  if (a <= base) return {};
  return {base, std::min(limit, a)};
}

void AddrRanges::release() noexcept {
  if (ranges_ != nullptr) env_->release(env_->context, ranges_, metadata());
  ranges_ = nullptr;
  count_ = capacity_ = 0;
  total_ = Bytes();
}

bool AddrRanges::reserve(std::uint64_t count) noexcept {
  if (count <= capacity_) return true;
  constexpr std::uint64_t kFirst = kCommitBytes / sizeof(AddrRange);
  std::uint64_t capacity = std::max(capacity_, kFirst);
  while (capacity < count) capacity *= 2;

  const Bytes bytes(capacity * sizeof(AddrRange));
  void* memory = env_->reserve(env_->context, bytes);
  if (memory == nullptr) return false;
  if (!env_->commit(env_->context, memory, bytes)) {
    env_->release(env_->context, memory, bytes);
    return false;
  }
  auto* fresh = static_cast<AddrRange*>(memory);
  std::copy(ranges_, ranges_ + count_, fresh);
  if (ranges_ != nullptr) env_->release(env_->context, ranges_, metadata());
  ranges_ = fresh;
  capacity_ = capacity;
  return true;
}

bool AddrRanges::reserve_one() noexcept { return reserve(count_ + 1); }

void AddrRanges::insert_at(std::uint64_t i, AddrRange r) noexcept {
  std::copy_backward(ranges_ + i, ranges_ + count_, ranges_ + count_ + 1);
  ranges_[i] = r;
  ++count_;
}

void AddrRanges::erase(std::uint64_t first, std::uint64_t last) noexcept {
  std::copy(ranges_ + last, ranges_ + count_, ranges_ + first);
  count_ -= last - first;
}

bool AddrRanges::add(AddrRange r) noexcept {
  if (r.size() == Bytes() || overlaps(r)) return false;
  const std::uint64_t i = find_succ(r.base);
  const bool touches_below = i > 0 && ranges_[i - 1].limit == r.base;
  const bool touches_above = i < count_ && r.limit == ranges_[i].base;
  if (touches_below && touches_above) {
    ranges_[i - 1].limit = ranges_[i].limit;
    erase(i, i + 1);
  } else if (touches_below) {
    ranges_[i - 1].limit = r.limit;
  } else if (touches_above) {
    ranges_[i].base = r.base;
  } else {
    if (!reserve_one()) return false;
    insert_at(i, r);
  }
  total_ += r.size();
  return true;
}

bool AddrRanges::remove(AddrRange r) noexcept {
  if (r.size() == Bytes()) return true;
  std::uint64_t i = find_succ(r.base);
  if (i > 0 && ranges_[i - 1].base < r.base && r.limit < ranges_[i - 1].limit) {  // a split
    if (!reserve_one()) return false;
    insert_at(i, {r.limit, ranges_[i - 1].limit});
    ranges_[i - 1].limit = r.base;
    total_ -= r.size();
    return true;
  }
  if (i > 0 && r.base < ranges_[i - 1].limit) --i;
  const std::uint64_t first = i;
  std::uint64_t kept = first;
  for (; i < count_ && ranges_[i].base < r.limit; ++i) {
    const AddrRange left = ranges_[i].subtract(r);
    total_ -= ranges_[i].size() - left.size();
    if (left.size() != Bytes()) ranges_[kept++] = left;
  }
  erase(kept, i);
  return true;
}

void AddrRanges::remove_greater_equal(Addr a) noexcept {
  const std::uint64_t i = find_succ(a);
  for (std::uint64_t k = i; k < count_; ++k) total_ -= ranges_[k].size();
  count_ = i;
  if (i == 0) return;
  AddrRange& last = ranges_[i - 1];
  const AddrRange left = last.remove_greater_equal(a);
  total_ -= last.size() - left.size();
  last = left;
  if (left.size() == Bytes()) --count_;
}

AddrRange AddrRanges::remove_last(Bytes bytes) noexcept {
  if (count_ == 0) return {};
  AddrRange& last = ranges_[count_ - 1];
  const AddrRange taken{last.size() > bytes ? last.limit - bytes : last.base, last.limit};
  last.limit = taken.base;
  if (last.size() == Bytes()) --count_;
  total_ -= taken.size();
  return taken;
}

std::uint64_t AddrRanges::find_succ(Addr a) const noexcept {
  const AddrRange* above = std::upper_bound(
      begin(), end(), a, [](Addr x, const AddrRange& r) noexcept { return x < r.base; });
  return static_cast<std::uint64_t>(above - begin());
}

bool AddrRanges::contains(Addr a) const noexcept {
  const std::uint64_t i = find_succ(a);
  return i > 0 && ranges_[i - 1].contains(a);
}

bool AddrRanges::contains(const AddrRange& r) const noexcept {
  const std::uint64_t i = find_succ(r.base);
  return i > 0 && ranges_[i - 1].base <= r.base && r.limit <= ranges_[i - 1].limit;
}

bool AddrRanges::overlaps(const AddrRange& r) const noexcept {
  const std::uint64_t i = find_succ(r.base);
  return (i > 0 && r.base < ranges_[i - 1].limit) || (i < count_ && ranges_[i].base < r.limit);
}

AddrRanges::Successor AddrRanges::find_addr_greater_equal(Addr a) const noexcept {
  const std::uint64_t i = find_succ(a);
  if (i > 0 && ranges_[i - 1].contains(a)) return {a, true};
  if (i < count_) return {ranges_[i].base, true};
  return {};
}

bool AddrRanges::clone_into(AddrRanges& copy) const noexcept {
  if (!copy.reserve(count_)) return false;
  std::copy(begin(), end(), copy.ranges_);
  copy.count_ = count_;
  copy.total_ = total_;
  return true;
}

bool AddrRanges::is_valid() const noexcept {
  Bytes sum{};
  for (std::uint64_t i = 0; i < count_; ++i) {
    if (ranges_[i].size() == Bytes()) return false;                      // 1
    if (i > 0 && ranges_[i - 1].limit >= ranges_[i].base) return false;  // 1
    sum += ranges_[i].size();
  }
  return sum == total_;  // 2
}

}  // namespace ream::page
