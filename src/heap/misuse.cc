#include "heap/misuse.h"

#include "base/check.h"
#include "heap/heap_start.h"
#include "heap/page_heap.h"

namespace ream {

LiveObject live_object(const PageHeap& heap, const void* address,
                       const MisuseTexts& texts) noexcept {
  const Addr a(address);
  Span* span = heap.map().span_of(a);
  if (span == nullptr) {
    start_heap();  // perhaps the first call of the process: the message needs its sink
    fatal_at(heap.may_own(a) ? texts.freed : texts.foreign, a.n);
  }
  const std::uint32_t index = span->index_if_begin(a.n);
  if (index >= span->objects || span->object_address(index) != a.n) fatal_at(texts.interior, a.n);
  std::uint8_t* state = span->states() + index;
  if (!is_live(load_state(*state))) fatal_at(texts.freed, a.n);
  return {span, state, Addr(a).ptr()};
}

}  // namespace ream
