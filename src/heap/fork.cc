// Fork at any moment from any thread. The parent's forking thread takes every lock in rank order,
// so the child's copy has no structure half changed; the child then frees the locks and takes over
// what the caches of threads that do not exist any more hold.
//
// What a thread had in its hands between a cache and a central list at that moment is lost to the
// child: at most a batch of objects a thread.
#include "heap/heap.h"

namespace ream {

void Heap::before_fork() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  caches_.lock().lock();
  forking_shards_ = caches_.shards();
  for (unsigned s = 0; s < forking_shards_; ++s) {
    for (CentralList& list : central_[s]) list.lock().lock_unranked();
  }
  page_heap_.lock().lock();
}

void Heap::after_fork_in_parent() noexcept REAM_NO_THREAD_SAFETY_ANALYSIS {
  page_heap_.lock().unlock();
  for (unsigned s = 0; s < forking_shards_; ++s) {
    for (CentralList& list : central_[s]) list.lock().unlock_unranked();
  }
  caches_.lock().unlock();
}

void Heap::after_fork_in_child() noexcept {
  after_fork_in_parent();
  page_heap_.after_fork_in_child();
  sparse_.after_fork_in_child();
  caches_.orphan_others();
}

}  // namespace ream
