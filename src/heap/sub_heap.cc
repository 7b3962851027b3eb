#include "heap/sub_heap.h"

#include <new>

#include "heap/page_units.h"

namespace ream {
namespace {

// Where this thread looks first, in any sub-heap.
constinit thread_local std::uint8_t t_shard [[gnu::tls_model("initial-exec")]] = 0;

constexpr std::uint8_t shard_byte(unsigned shard) noexcept {
  return static_cast<std::uint8_t>(kOwnedShards | shard);
}

}  // namespace

SubHeap::SubHeap(const char* name, Bytes budget_bytes) noexcept {
  budget.set(budget_bytes);
  for (std::size_t i = 0; name != nullptr && i + 1 < kNameBytes && name[i] != '\0'; ++i) {
    name_[i] = name[i];
  }
}

void SubHeap::lock_as(const os::Mutex& held,
                      os::Mutex& made) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  if (held.is_held_for_fork()) made.lock_for_fork();
}

CentralList* SubHeap::make_list(PageHeap& pages, std::uint32_t number) noexcept {
  os::MutexLock hold(lock_);
  CentralList* list = this->list(number);
  if (list != nullptr) return list;  // another thread's
  void* memory = pages.allocate_metadata(sizeof(CentralList));
  if (memory == nullptr) return nullptr;
  list = new (memory) CentralList(*this);
  lock_as(lock_, list->lock());
  lists_[number].store(list, std::memory_order_release);
  return list;
}

CentralList* SubHeap::list_for(PageHeap& pages, ClassIndex c, unsigned shard) noexcept {
  const std::uint32_t number = number_of(c, shard);
  CentralList* list = this->list(number);
  return list != nullptr ? list : make_list(pages, number);
}

PressureCallbacks* SubHeap::make_callbacks(PageHeap& pages) noexcept {
  os::MutexLock hold(lock_);
  if (PressureCallbacks* table = callbacks()) return table;
  void* memory = pages.allocate_metadata(sizeof(PressureCallbacks));
  if (memory == nullptr) return nullptr;
  auto* table = new (memory) PressureCallbacks;
  lock_as(lock_, table->lock());
  callbacks_.store(table, std::memory_order_release);
  return table;
}

// Other shards have spans that may have room when this thread's may not get another.
bool SubHeap::take(PageHeap& pages, ClassIndex c, Taken& taken) noexcept {
  const CentralList* first = list(number_of(c, t_shard));
  if (first != nullptr && first->busy()) {
    t_shard = static_cast<std::uint8_t>((t_shard + 1u) % kShards);
  }
  CentralList* const mine = list_for(pages, c, t_shard);
  if (mine != nullptr && mine->fetch(pages, c, shard_byte(t_shard), &taken, 1) == 1) return true;
  for (unsigned s = 0; s < kShards; ++s) {
    CentralList* const other = list(number_of(c, s));
    if (s == t_shard || other == nullptr) continue;
    if (other->fetch(pages, c, shard_byte(s), &taken, 1) == 1) return true;
  }
  return false;
}

void SubHeap::give(PageHeap& pages, const Span& span, Taken taken) noexcept {
  const unsigned shard = span.shard & ~unsigned{kOwnedShards};
  list(number_of(span.size_class, shard))->give(pages, &taken, 1);
}

Bytes SubHeap::release_empty(PageHeap& pages) noexcept {
  Bytes released{};
  for_each_list([&](CentralList& list) noexcept { released += list.release_empty(pages); });
  return released;
}

CentralStats SubHeap::stats(ClassIndex c) noexcept {
  CentralStats sum;
  for (unsigned s = 0; s < kShards; ++s) {
    if (CentralList* shard = list(number_of(c, s))) sum += shard->stats();
  }
  return sum;
}

Bytes SubHeap::bytes_of_spans() noexcept {
  Bytes sum = large_bytes;
  for_each_list(
      [&sum](CentralList& list) noexcept { sum += bytes_of(Pages(list.stats().span_pages)); });
  return sum;
}

void SubHeap::after_fork_in_child() noexcept {
  budget.recount(bytes_of_spans());
  if (PressureCallbacks* table = callbacks()) table->after_fork_in_child();
}

bool SubHeap::is_valid() noexcept {
  bool valid = true;
  for_each_list([&valid](CentralList& list) noexcept { valid = valid && list.is_valid(); });
  return valid && budget.used() == bytes_of_spans();  // 1
}

}  // namespace ream
