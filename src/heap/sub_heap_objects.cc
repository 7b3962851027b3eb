// Objects of sub-heaps: the heap's functions that make and free them, and what is done at a budget.
#include <cstring>

#include "base/check.h"
#include "heap/heap.h"
#include "heap/heap_start.h"
#include "heap/page_units.h"

namespace ream {
namespace {

// Other threads may take the room that one has made, so it tries several times.
constexpr unsigned kMostAttempts = 16;
constexpr unsigned kLastAttempt = ~0u;

}  // namespace

SubHeap* Heap::create_sub_heap(const char* name, Bytes budget) noexcept {
  start_heap();
  return sub_heaps_.create(page_heap_, name, budget);
}

void Heap::destroy_sub_heap(SubHeap& sub) noexcept {
  sub_heaps_.destroy(page_heap_, sub,
                     [this](ClassIndex c, std::uint64_t n) noexcept { caches_.count_free(c, n); });
  worker_.notify();
}

Taken Heap::take_in(SubHeap& sub, ClassIndex c) noexcept {
  before_growth();
  Taken taken{};
  for (Attempts tried; !sub.take(page_heap_, c, taken);) {
    if (!make_room_in(&sub, bytes_of(Pages(kSizeClasses[c].span_pages)), tried)) return {};
  }
  sub_heaps_.note_change();
  worker_.notify();
  return taken;
}

void* Heap::allocate_in(SubHeap& sub, std::size_t bytes) noexcept {
  if (bytes > kMaxSmallBytes) return allocate_large_in(sub, bytes, kMinAlignment, false);
  const Taken taken = take_in(sub, class_of(bytes));
  if (taken.object != nullptr) store_state(*taken.state, kLiveOwned);
  return taken.object;
}

void* Heap::allocate_zeroed_in(SubHeap& sub, std::size_t bytes) noexcept {
  if (bytes > kMaxSmallBytes) return allocate_large_in(sub, bytes, kMinAlignment, true);
  const Taken taken = take_in(sub, class_of(bytes));
  if (taken.object == nullptr) return nullptr;
  const bool zero = load_state(*taken.state) == kCachedZero;
  store_state(*taken.state, kLiveOwned);
  if (!zero) std::memset(taken.object, 0, bytes);
  return taken.object;
}

void* Heap::allocate_aligned_in(SubHeap& sub, std::size_t bytes, std::size_t alignment) noexcept {
  const ClassIndex c = class_of_aligned(bytes, alignment);
  if (c == kLargeClass) return allocate_large_in(sub, bytes, alignment, false);
  const Taken taken = take_in(sub, c);
  if (taken.object != nullptr) store_state(*taken.state, kLiveOwned);
  return taken.object;
}

void* Heap::allocate_large_in(SubHeap& sub, std::size_t bytes, std::size_t alignment,
                              bool zeroed) noexcept {
  before_growth();
  if (bytes > PageHeap::kMaxObjectBytes || alignment > PageHeap::kMaxAlignment) return nullptr;
  for (Attempts tried;;) {
    Span* span = page_heap_.new_large_span(Bytes(bytes), Bytes(alignment), zeroed, &sub);
    if (span != nullptr) return Addr(span->base).ptr();
    if (!make_room_in(&sub, bytes_of(pages_for(Bytes(bytes))), tried)) return nullptr;
  }
}

// The exchange decides between two threads that free the same object at the same moment.
void Heap::free_owned(const LiveObject& object) noexcept {
  std::uint8_t live = kLiveOwned;
  if (!__atomic_compare_exchange_n(object.state, &live, kCached, false, __ATOMIC_ACQ_REL,
                                   __ATOMIC_RELAXED)) {
    fatal_at(kFreeTexts.freed, Addr(object.address).n);
  }
  const ClassIndex c = object.span->size_class;  // the span may be gone after the object
  if (c == kLargeClass) {
    page_heap_.free_span(*object.span);
  } else {
    sub_heap_of(*object.span)->give(page_heap_, *object.span, {object.address, object.state});
    count_free(c);
    sub_heaps_.note_change();
  }
  worker_.notify();
}

void Heap::count_free(ClassIndex c) noexcept {
  ThreadCache& cache = caches_.get();
  if (cache.bypass)
    caches_.count_free(c);
  else
    cache.bins[c].frees += 1;
}

void Heap::free_in(SubHeap& sub, void* address) noexcept {
  if (address == nullptr) return;
  const LiveObject object = live_object(page_heap_, address, kFreeTexts);
  if (sub_heap_of(*object.span) != &sub) fatal_at(kFreeInOther, Addr(address).n);
  free_owned(object);
}

void* Heap::reallocate_in(SubHeap& sub, void* address, std::size_t bytes) noexcept {
  const LiveObject object = live_object(page_heap_, address, kReallocTexts);
  if (sub_heap_of(*object.span) != &sub) fatal_at(kReallocInOther, Addr(address).n);
  return reallocate(address, bytes);
}

void Heap::reallocate_in_to_nothing(SubHeap& sub, void* address) noexcept {
  const LiveObject object = live_object(page_heap_, address, kReallocTexts);
  if (sub_heap_of(*object.span) != &sub) fatal_at(kReallocInOther, Addr(address).n);
  free_owned(object);
}

bool Heap::make_room_in(SubHeap* sub, Bytes bytes, Attempts& tried) noexcept {
  if (sub == nullptr) return make_room(bytes, tried.at_limit);
  if (tried.at_budget >= kMostAttempts) return false;
  const bool first = tried.at_budget++ == 0;
  if (sub->budget.missing(bytes) == Bytes()) {
    // Another thread has freed something meanwhile; or it was not the budget.
    return first || make_room(bytes, tried.at_limit);
  }
  sub->release_empty(page_heap_);
  Bytes missing = sub->budget.missing(bytes);
  if (missing == Bytes()) return true;
  PressureCallbacks* const callbacks = sub->callbacks();
  if (callbacks == nullptr || !callbacks->call(PressureLevel::kHard, missing)) return false;
  sub->release_empty(page_heap_);
  missing = sub->budget.missing(bytes);
  // A part of what is asked for may do, where spans have room.
  if (missing != Bytes()) tried.at_budget = kLastAttempt;
  return true;
}

}  // namespace ream
