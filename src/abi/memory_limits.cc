// Memory limits and pressure callbacks of the C API (include/ream/ream.h).
//
// Thread safety: all functions.
#include <ream/ream.h>

#include <cerrno>
#include <cstddef>

#include "abi/export.h"
#include "abi/pressure.h"
#include "heap/heap.h"
#include "heap/heap_start.h"

namespace {

using ream::Bytes;
using ream::g_heap;

}  // namespace

REAM_EXPORT std::size_t ream_purge() { return g_heap.trim().n; }

REAM_EXPORT int ream_set_memory_limit(std::size_t soft, std::size_t hard) {
  ream::start_heap();  // which reads what the environment says
  return g_heap.set_memory_limit(Bytes(soft), Bytes(hard)) ? 0 : EINVAL;
}

REAM_EXPORT void ream_get_memory_limit(std::size_t* soft, std::size_t* hard) {
  ream::start_heap();
  const ream::MemoryLimit& limit = g_heap.page_heap().limit();
  if (soft != nullptr) *soft = limit.soft().n;
  if (hard != nullptr) *hard = limit.hard().n;
}

REAM_EXPORT std::size_t ream_memory_in_use() { return g_heap.page_heap().limit().in_use().n; }

REAM_EXPORT int ream_on_pressure(ream_pressure_callback callback, void* arg) {
  if (callback == nullptr) return EINVAL;
  return g_heap.callbacks().add(ream::to_callback(callback, arg)) ? 0 : ENOMEM;
}

REAM_EXPORT int ream_off_pressure(ream_pressure_callback callback, void* arg) {
  if (callback == nullptr) return EINVAL;
  return g_heap.callbacks().remove(ream::untyped(callback), arg) ? 0 : EINVAL;
}
