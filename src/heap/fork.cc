// Fork at any moment from any thread. The parent's forking thread takes every lock in rank order,
// so the child's copy has no structure half changed; the child then frees the locks and takes over
// what the caches of threads that do not exist any more hold.
//
// Handlers of libraries that registered before ream run while it holds the locks; it passes through
// them, and finds every structure whole.
//
// What a thread had in its hands between a cache and a central list at that moment is lost to the
// child: at most a batch of objects a thread. So is the sub-heap that another thread was ending.
#include <utility>

#include "heap/heap.h"

namespace ream {

void Heap::before_fork() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  // A handler of another library that forks itself: the locks stay held to the end of the outer
  // one.
  if (caches_.idle_lock().is_held_for_fork()) {
    ++inner_forks_;
    return;
  }
  forking_.fetch_add(1, std::memory_order_relaxed);
  caches_.idle_lock().lock_for_fork();
  caches_.lock().lock_for_fork();
  sparse_.lock().lock_for_fork();
  sub_heaps_.lock_for_fork();
  transfers_.lock_for_fork();
  forking_shards_ = caches_.shards();
  for (unsigned s = 0; s < forking_shards_; ++s) {
    for (CentralList& list : central_[s]) list.lock().lock_for_fork();
  }
  sub_heaps_.lock_lists_for_fork();
  page_heap_.lock().lock_for_fork();
  callbacks_.lock().lock_for_fork();
  sub_heaps_.lock_callbacks_for_fork();
}

void Heap::after_fork_in_parent() noexcept {
  if (inner_forks_ > 0) {
    --inner_forks_;
    return;
  }
  const bool is_child = std::exchange(forked_within_, false);
  unlock_after_fork();
  if (is_child) take_over_from_parent();
}

// The child of an inner fork goes on with the outer one, as its parent does.
void Heap::after_fork_in_child() noexcept {
  if (inner_forks_ > 0) {
    --inner_forks_;
    forked_within_ = true;
    return;
  }
  forked_within_ = false;
  unlock_after_fork();
  take_over_from_parent();
}

void Heap::unlock_after_fork() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  callbacks_.lock().unlock_after_fork();
  page_heap_.lock().unlock_after_fork();
  for (unsigned s = 0; s < forking_shards_; ++s) {
    for (CentralList& list : central_[s]) list.lock().unlock_after_fork();
  }
  transfers_.unlock_after_fork();
  sub_heaps_.unlock_after_fork();
  sparse_.lock().unlock_after_fork();
  caches_.lock().unlock_after_fork();
  caches_.idle_lock().unlock_after_fork();
  forking_.fetch_sub(1, std::memory_order_relaxed);
}

void Heap::take_over_from_parent() noexcept {
  forking_.store(0, std::memory_order_relaxed);  // others may have been waiting to fork
  page_heap_.after_fork_in_child();
  large_cache_.after_fork_in_child();
  worker_.after_fork_in_child();
  pressure_.after_fork_in_child();
  callbacks_.after_fork_in_child();
  sub_heaps_.after_fork_in_child();
  caches_.orphan_others();
}

}  // namespace ream
