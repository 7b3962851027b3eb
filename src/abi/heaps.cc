// Heaps with budgets of the C API (ream_heap in include/ream/ream.h).
//
// Thread safety: as said there.
#include <ream/ream.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "abi/export.h"
#include "abi/pressure.h"
#include "base/bits.h"
#include "base/check.h"
#include "heap/heap.h"

namespace {

using ream::Addr;
using ream::Bytes;
using ream::g_heap;
using ream::SubHeap;

constexpr std::size_t kMaxRequest = PTRDIFF_MAX;

// What has ended is told from what exists, until another heap takes its place.
SubHeap& checked(const ream_heap* heap) noexcept {
  auto* sub = static_cast<SubHeap*>(Addr(heap).ptr());
  if (!sub->exists()) ream::fatal_at("use of a destroyed heap", Addr(heap).n);
  return *sub;
}

ream_heap* handle(SubHeap* sub) noexcept { return reinterpret_cast<ream_heap*>(sub); }

void* or_no_memory(void* p) noexcept {
  if (p == nullptr) errno = ENOMEM;
  return p;
}

}  // namespace

REAM_EXPORT ream_heap* ream_heap_create(const char* name, std::size_t budget_bytes) {
  SubHeap* sub = g_heap.create_sub_heap(name, Bytes(budget_bytes));
  if (sub == nullptr) errno = ENOMEM;
  return handle(sub);
}

REAM_EXPORT void ream_heap_destroy(ream_heap* heap) {
  if (heap != nullptr) g_heap.destroy_sub_heap(checked(heap));
}

REAM_EXPORT void* ream_heap_malloc(ream_heap* heap, std::size_t bytes) {
  return or_no_memory(g_heap.allocate_in(checked(heap), bytes));
}

REAM_EXPORT void* ream_heap_calloc(ream_heap* heap, std::size_t count, std::size_t each) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, each, &bytes)) return or_no_memory(nullptr);
  return or_no_memory(g_heap.allocate_zeroed_in(checked(heap), bytes));
}

REAM_EXPORT void* ream_heap_aligned_alloc(ream_heap* heap, std::size_t alignment,
                                          std::size_t bytes) {
  SubHeap& sub = checked(heap);
  if (!ream::is_power_of_two(alignment)) {
    errno = EINVAL;
    return nullptr;
  }
  if (bytes > kMaxRequest) return or_no_memory(nullptr);
  return or_no_memory(g_heap.allocate_aligned_in(sub, bytes, alignment));
}

REAM_EXPORT void* ream_heap_realloc(ream_heap* heap, void* p, std::size_t bytes) {
  SubHeap& sub = checked(heap);
  if (p == nullptr) return or_no_memory(g_heap.allocate_in(sub, bytes));
  if (bytes != 0) return or_no_memory(g_heap.reallocate_in(sub, p, bytes));
  g_heap.reallocate_in_to_nothing(sub, p);
  return nullptr;
}

REAM_EXPORT void ream_heap_free(ream_heap* heap, void* p) { g_heap.free_in(checked(heap), p); }

REAM_EXPORT ream_heap* ream_heap_of(void* p) { return handle(g_heap.sub_heap_of(p)); }

REAM_EXPORT const char* ream_heap_name(const ream_heap* heap) { return checked(heap).name(); }

REAM_EXPORT void ream_heap_set_budget(ream_heap* heap, std::size_t budget_bytes) {
  checked(heap).budget.set(Bytes(budget_bytes));
}

REAM_EXPORT std::size_t ream_heap_get_budget(const ream_heap* heap) {
  return checked(heap).budget.most().n;
}

REAM_EXPORT std::size_t ream_heap_memory_in_use(const ream_heap* heap) {
  return checked(heap).budget.used().n;
}

REAM_EXPORT std::size_t ream_heap_peak_memory(const ream_heap* heap) {
  return checked(heap).budget.peak().n;
}

REAM_EXPORT int ream_heap_on_pressure(ream_heap* heap, ream_pressure_callback callback, void* arg) {
  SubHeap& sub = checked(heap);
  if (callback == nullptr) return EINVAL;
  ream::PressureCallbacks* table = sub.make_callbacks(g_heap.page_heap());
  return table != nullptr && table->add(ream::to_callback(callback, arg)) ? 0 : ENOMEM;
}

REAM_EXPORT int ream_heap_off_pressure(ream_heap* heap, ream_pressure_callback callback,
                                       void* arg) {
  SubHeap& sub = checked(heap);
  ream::PressureCallbacks* table = sub.callbacks();
  if (callback == nullptr || table == nullptr) return EINVAL;
  return table->remove(ream::untyped(callback), arg) ? 0 : EINVAL;
}
