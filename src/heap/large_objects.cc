// Large objects of the heap: runs of pages of their own, made, resized and moved without copying
// where that is possible.
#include <algorithm>
#include <cstring>

#include "heap/heap.h"
#include "heap/page_units.h"

namespace ream {
namespace {

// From here on, moving page table entries is cheaper than copying bytes.
constexpr Bytes kMoveByPages = 1_MiB;

}  // namespace

void* Heap::allocate_large(std::size_t bytes, std::size_t alignment, bool zeroed) noexcept {
  before_growth();
  if (bytes > PageHeap::kMaxObjectBytes || alignment > PageHeap::kMaxAlignment) return nullptr;
  if (alignment <= kPageBytes && bytes <= LargeCache::kMaxSpanBytes) {
    const Nodes& nodes = page_heap_.nodes();
    const unsigned shard = nodes.several() ? large_shard(nodes.here()) : t_cache->shard;
    const LargeCache::Taken cached = large_cache_.take(shard, pages_for(Bytes(bytes)));
    if (cached.fitting != nullptr) return reuse_large(*cached.fitting, bytes, zeroed);
    if (cached.evicted != nullptr) page_heap_.free_span(*cached.evicted);
  }
  for (unsigned attempt = 0;;) {
    Span* span = page_heap_.new_large_span(Bytes(bytes), Bytes(alignment), zeroed);
    if (span != nullptr) return Addr(span->base).ptr();
    if (!make_room(bytes_of(pages_for(Bytes(bytes))), attempt)) return nullptr;
  }
}

void* Heap::reuse_large(Span& span, std::size_t bytes, bool zeroed) noexcept {
  if (zeroed) {
    DirtyRuns dirty;
    dirty.add(Addr(span.base), Bytes(span.bytes()));
    dirty.clear(!page_heap_.is_pooled(Addr(span.base), Bytes(span.bytes())));
  }
  span.requested_bytes = bytes;
  store_state(span.states()[0], kLive);
  return Addr(span.base).ptr();
}

// The exchange decides between two threads that free the same object at the same moment.
void Heap::free_large(const LiveObject& object) noexcept {
  if (__atomic_exchange_n(object.state, kCached, __ATOMIC_ACQ_REL) != kLive) {
    fatal_at(kFreeTexts.freed, Addr(object.address).n);
  }
  const bool several = page_heap_.nodes().several();
  const unsigned shard =
      several ? large_shard(page_heap_.node_of(Addr(object.address))) : t_cache->shard;
  Span* rest = large_cache_.put(shard, *object.span);
  if (rest != nullptr) page_heap_.free_span(*rest);
  worker_.notify();
}

void* Heap::move_object(const LiveObject& object, std::size_t bytes) noexcept {
  SubHeap* const sub = sub_heap_of(*object.span);
  void* to = sub == nullptr ? allocate(bytes) : allocate_in(*sub, bytes);
  if (to == nullptr) return nullptr;
  std::memcpy(to, object.address, std::min<std::uint64_t>(bytes, object.span->usable_bytes()));
  free(object.address);
  return to;
}

void* Heap::reallocate(void* address, std::size_t bytes) noexcept {
  const LiveObject object = live_object(page_heap_, address, kReallocTexts);
  const std::uint64_t usable = object.span->usable_bytes();
  // A small object stays while it would not become half empty.
  const bool stays = bytes <= usable && bytes >= usable / 2;
  if (object.span->is_large() && (stays || bytes > kMaxSmallBytes)) {
    return reallocate_large(object, bytes);
  }
  if (stays) return address;
  if (void* to = move_object(object, bytes)) return to;
  return bytes <= usable ? address : nullptr;  // programs do not expect that shrinking fails
}

void Heap::reallocate_to_nothing(void* object) noexcept {
  static_cast<void>(live_object(page_heap_, object, kReallocTexts));
  free(object);
}

void* Heap::reallocate_large(const LiveObject& object, std::size_t bytes) noexcept {
  if (bytes > PageHeap::kMaxObjectBytes) return nullptr;
  const std::uint64_t before = object.span->bytes();
  const std::uint64_t after = bytes_of(pages_for(Bytes(bytes))).n;
  const Bytes added(after > before ? after - before : 0);
  SubHeap* const sub = sub_heap_of(*object.span);
  for (Attempts tried;;) {
    if (page_heap_.resize_in_place(*object.span, Bytes(bytes))) return object.address;
    if (before >= kMoveByPages.n) {
      // Room behind a block that grew once lets it grow on where it is.
      Span* to = page_heap_.move_pages(*object.span, Bytes(bytes), Bytes(bytes / 2));
      if (to != nullptr) return Addr(to->base).ptr();
    }
    // Copying takes more than what the object grows by.
    const bool may_copy = page_heap_.limit().admits(added) &&
                          (sub == nullptr || sub->budget.missing(added) == Bytes());
    if (may_copy || !make_room_in(sub, added, tried)) break;
  }
  return move_object(object, bytes);
}

}  // namespace ream
