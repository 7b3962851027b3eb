#include "heap/sub_heaps.h"

#include <new>

namespace ream {
namespace {

void lock_list_for_fork(CentralList& list) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  list.lock().lock_for_fork();
}
void unlock_list_after_fork(CentralList& list) noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  list.lock().unlock_after_fork();
}

}  // namespace

SubHeap* SubHeaps::create(PageHeap& pages, const char* name, Bytes budget_bytes) noexcept {
  void* memory = pages.allocate_metadata(sizeof(SubHeap));
  if (memory == nullptr) return nullptr;
  auto* sub = new (memory) SubHeap(name, budget_bytes);
  os::MutexLock hold(lock_);
  SubHeap::lock_as(lock_, sub->lock_);
  sub->next_ = first_;
  if (first_ != nullptr) first_->prev_ = sub;
  first_ = sub;
  ++count_;
  return sub;
}

void SubHeaps::remove(SubHeap& sub) noexcept {
  os::MutexLock hold(lock_);
  if (swept_ == &sub) {
    swept_ = sub.next_;
    swept_list_ = 0;
    in_list_ = false;
  }
  (sub.prev_ != nullptr ? sub.prev_->next_ : first_) = sub.next_;
  if (sub.next_ != nullptr) sub.next_->prev_ = sub.prev_;
  --count_;
}

std::uint64_t SubHeaps::count() noexcept {
  os::MutexLock hold(lock_);
  return count_;
}

CentralStats SubHeaps::stats(ClassIndex c) noexcept {
  os::MutexLock hold(lock_);
  CentralStats sum;
  for (SubHeap* sub = first_; sub != nullptr; sub = sub->next_) sum += sub->stats(c);
  return sum;
}

void SubHeaps::release_empty(PageHeap& pages) noexcept {
  os::MutexLock hold(lock_);
  for (SubHeap* sub = first_; sub != nullptr; sub = sub->next_) sub->release_empty(pages);
}

void SubHeaps::begin_sweep() noexcept {
  changed_.store(false, std::memory_order_relaxed);
  os::MutexLock hold(lock_);
  swept_ = first_;
  swept_list_ = 0;
  in_list_ = false;
}

bool SubHeaps::sweep_step(PageHeap& pages, CentralList::Sweep what, Swept& swept) noexcept {
  os::MutexLock hold(lock_);
  for (std::uint32_t spans = kSpansPerStep; swept_ != nullptr && spans > 0;) {
    if (!sweep_some(pages, what, spans, swept)) break;
    swept_ = swept_->next_;
    swept_list_ = 0;
    if (spans > 0) --spans;  // a sub-heap without spans is some work too
  }
  return swept_ != nullptr;
}

bool SubHeaps::sweep_some(PageHeap& pages, CentralList::Sweep what, std::uint32_t& spans,
                          Swept& swept) noexcept {
  for (; swept_list_ < SubHeap::kMostLists; ++swept_list_) {
    CentralList* const list = swept_->list(swept_list_);
    if (list == nullptr) continue;
    if (!in_list_) {
      if (what == CentralList::Sweep::kUntouched && !list->wants_sweep()) continue;
      list->begin_sweep();
      swept.taken += list->take_retaken();
      in_list_ = true;
    }
    for (; in_list_ && spans > 0; --spans) in_list_ = list->sweep_next(pages, what, swept.given);
    if (in_list_) return false;
    if (list->wants_sweep()) {
      swept.again = true;
      note_change();
    }
  }
  return true;
}

bool SubHeaps::is_valid() noexcept {
  os::MutexLock hold(lock_);
  std::uint64_t count = 0;
  for (SubHeap* sub = first_; sub != nullptr; sub = sub->next_, ++count) {
    if (!sub->exists() || !sub->is_valid()) return false;
  }
  return count == count_;
}

void SubHeaps::lock_for_fork() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  lock_.lock_for_fork();
  for (SubHeap* sub = first_; sub != nullptr; sub = sub->next_) sub->lock().lock_for_fork();
}

void SubHeaps::lock_lists_for_fork() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  for (SubHeap* sub = first_; sub != nullptr; sub = sub->next_) {
    sub->for_each_list(lock_list_for_fork);
  }
}

void SubHeaps::lock_callbacks_for_fork() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  for (SubHeap* sub = first_; sub != nullptr; sub = sub->next_) {
    if (PressureCallbacks* table = sub->callbacks()) table->lock().lock_for_fork();
  }
}

void SubHeaps::unlock_after_fork() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  for (SubHeap* sub = first_; sub != nullptr; sub = sub->next_) {
    if (PressureCallbacks* table = sub->callbacks()) table->lock().unlock_after_fork();
    sub->for_each_list(unlock_list_after_fork);
    sub->lock().unlock_after_fork();
  }
  lock_.unlock_after_fork();
}

void SubHeaps::after_fork_in_child() noexcept {
  os::MutexLock hold(lock_);
  for (SubHeap* sub = first_; sub != nullptr; sub = sub->next_) sub->after_fork_in_child();
}

}  // namespace ream
