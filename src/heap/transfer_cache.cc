#include "heap/transfer_cache.h"

#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "heap/heap.h"
#include "heap/page_units.h"

namespace ream {
namespace {

constexpr std::uint32_t kGivenAtOnce = 512;  // objects on their way to the central lists

Bytes bytes_of_objects(ClassIndex c, std::uint32_t count) noexcept {
  return Bytes(std::uint64_t{count} * kSizeClasses[c].object_bytes);
}

Bytes entries_bytes(ClassIndex c) noexcept {
  return Bytes(round_up(TransferCache::max_capacity(c) * sizeof(Taken), os::os_page_size().n));
}

}  // namespace

bool TransferRoom::take(Bytes bytes, const MemoryLimit& limit) noexcept {
  if (limit.is_above_soft()) return false;
  const std::uint64_t most = std::min(kLeastBytes + limit.in_use().n / kShareOfHeap, kMostBytes);
  if (bytes_.fetch_add(bytes.n, std::memory_order_relaxed) + bytes.n <= most) return true;
  give(bytes);
  return false;
}

bool TransferCache::enlarge(ClassIndex c, std::uint32_t batch, TransferRoom& room,
                            MemoryLimit& limit) noexcept {
  const std::uint32_t after = std::min(std::max(capacity_ * 2, batch * 2), max_capacity(c));
  if (after <= capacity_) return false;
  const Bytes added = bytes_of_objects(c, after - capacity_);
  if (!room.take(added, limit)) return false;
  if (entries_ == nullptr) {
    entries_ = static_cast<Taken*>(map_metadata(entries_bytes(c)));
    if (entries_ == nullptr) {
      room.give(added);
      return false;
    }
    room.add_mapped(entries_bytes(c));
  }
  set_capacity(after);
  if (after > touched_) {
    limit.add_transfers(Bytes((after - touched_) * sizeof(Taken)));
    __atomic_store_n(&touched_, after, __ATOMIC_RELAXED);
  }
  __atomic_store_n(&was_dry_, false, __ATOMIC_RELAXED);
  return true;
}

std::uint32_t TransferCache::put(Bin& bin, ClassIndex c, std::uint32_t count, TransferRoom& room,
                                 MemoryLimit& limit) noexcept {
  os::MutexLock hold(lock_);
  if (capacity_ - count_ < count && __atomic_load_n(&was_dry_, __ATOMIC_RELAXED)) {
    static_cast<void>(enlarge(c, count, room, limit));
  }
  const std::uint32_t n = std::min(count, capacity_ - count_);
  if (n == 0) return 0;
  std::memcpy(entries_ + count_, bin.base, n * sizeof(Taken));
  std::copy(bin.base + n, bin.top, bin.base);
  set_top(bin, bin.top - n);
  set_count(count_ + n);
  high_ = std::max(high_, count_);
  return n;
}

std::uint32_t TransferCache::take_locking(Taken* out, std::uint32_t max) noexcept {
  os::MutexLock hold(lock_);
  const std::uint32_t n = std::min(max, count_);
  if (n < max) __atomic_store_n(&was_dry_, true, __ATOMIC_RELAXED);
  set_count(count_ - n);
  low_ = std::min(low_, count_);
  if (n > 0) std::memcpy(out, entries_ + count_, n * sizeof(Taken));
  return n;
}

std::uint32_t TransferCache::take_idle(ClassIndex c, Taken* out, std::uint32_t max,
                                       TransferRoom& room) noexcept {
  os::MutexLock hold(lock_);
  const std::uint32_t n = std::min(max, low_);
  if (n == 0) return 0;
  std::memcpy(out, entries_, n * sizeof(Taken));
  std::copy(entries_ + n, entries_ + count_, entries_);
  set_count(count_ - n);
  low_ -= n;
  high_ -= n;
  set_capacity(capacity_ - n);
  room.give(bytes_of_objects(c, n));
  return n;
}

void TransferCache::look(ClassIndex c, TransferRoom& room) noexcept {
  os::MutexLock hold(lock_);
  room.give(bytes_of_objects(c, capacity_ - high_));
  set_capacity(high_);
  low_ = high_ = count_;
}

Bytes TransferCache::room_bytes(ClassIndex c) noexcept {
  os::MutexLock hold(lock_);
  return bytes_of_objects(c, capacity_);
}

bool TransferCache::is_valid(ClassIndex c) noexcept {
  os::MutexLock hold(lock_);
  if (low_ > count_ || count_ > high_ || high_ > capacity_ || capacity_ > max_capacity(c))
    return false;  // 1
  return std::all_of(entries_, entries_ + count_, [](const Taken& t) noexcept {
    return (load_state(*t.state) & ~kZeroBit) == kCached;
  });
}

void TransferCaches::part(unsigned nodes) noexcept {
  const std::uint64_t cpus = div_ceil(os::cpu_count(), nodes);
  const auto groups = static_cast<unsigned>(
      std::clamp<std::uint64_t>(div_ceil(cpus, kGroupCpus), 1, kMaxGroups / nodes));
  __atomic_store_n(&groups_, groups * nodes, __ATOMIC_RELAXED);
}

bool TransferCaches::give_idle_of(Heap& heap, TransferCache& cache, ClassIndex c,
                                  const WorkBudget& budget) noexcept {
  std::array<Taken, kGivenAtOnce> batch;
  while (const std::uint32_t count = cache.take_idle(c, batch.data(), kGivenAtOnce, room_)) {
    for (std::uint32_t given = 0; given < count;) given += heap.give(&batch[given], count - given);
    if (budget.is_spent()) return false;
  }
  return true;
}

bool TransferCaches::give_idle(Heap& heap, const WorkBudget& budget,
                               std::uint64_t now_ns) noexcept {
  const std::uint32_t most = groups_ * static_cast<std::uint32_t>(kClassCount);
  bool clean = true;
  if (next_ == 0 && now_ns - looked_ns_ < kIdleNs) {
    for (std::uint32_t i = 0; i < most && clean; ++i) {
      clean = caches_[i / kClassCount][i % kClassCount].count() == 0;
    }
    return clean;
  }
  if (next_ == 0) looked_ns_ = now_ns;
  for (; next_ < most; ++next_) {
    TransferCache& cache = caches_[next_ / kClassCount][next_ % kClassCount];
    const auto c = static_cast<ClassIndex>(next_ % kClassCount);
    if (!cache.has_room()) continue;
    if (!give_idle_of(heap, cache, c, budget)) return false;
    cache.look(c, room_);
    if (cache.count() > 0) clean = false;
  }
  next_ = 0;
  return clean;
}

void TransferCaches::give_all(Heap& heap) noexcept {
  const WorkBudget all(WorkBudget::kUnlimited);
  for (unsigned g = 0; g < groups_; ++g) {
    for (std::size_t c = 1; c < kClassCount; ++c) {
      TransferCache& cache = caches_[g][c];
      if (!cache.has_room()) continue;
      cache.look(static_cast<ClassIndex>(c), room_);
      static_cast<void>(give_idle_of(heap, cache, static_cast<ClassIndex>(c), all));
      cache.look(static_cast<ClassIndex>(c), room_);
    }
  }
}

std::uint64_t TransferCaches::cached(ClassIndex c) const noexcept {
  std::uint64_t sum = 0;
  for (unsigned g = 0; g < groups_; ++g) sum += caches_[g][c].count();
  return sum;
}

Bytes TransferCaches::touched_bytes() const noexcept {
  Bytes sum{};
  for (unsigned g = 0; g < groups_; ++g) {
    for (const TransferCache& cache : caches_[g]) sum += cache.touched_bytes();
  }
  return sum;
}

void TransferCaches::lock_for_fork() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  for (unsigned g = 0; g < groups_; ++g) {
    for (TransferCache& cache : caches_[g]) cache.lock().lock_for_fork();
  }
}

void TransferCaches::unlock_after_fork() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  for (unsigned g = 0; g < groups_; ++g) {
    for (TransferCache& cache : caches_[g]) cache.lock().unlock_after_fork();
  }
}

bool TransferCaches::is_valid() noexcept {
  Bytes room{};
  for (auto& group : caches_) {
    for (std::size_t c = 1; c < kClassCount; ++c) {
      if (!group[c].is_valid(static_cast<ClassIndex>(c))) return false;
      room += group[c].room_bytes(static_cast<ClassIndex>(c));
    }
  }
  return room == room_.bytes();  // 2
}

}  // namespace ream
