// What the page layer asks of its owner: memory for its own metadata, the giving back of pages, and
// a clock. The layer calls nothing else outside this folder, so it can manage a region of memory, a
// file's blocks or another machine's pages.
//
// Thread safety: the functions are called with whatever lock the owner holds around a PageAlloc.
//
// Lifetime: copied by PageAlloc::init; `context` must outlive the allocator.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace ream::page {

struct Environment {
  void* context = nullptr;  // handed to every function

  // Address space for metadata, at least 64-byte aligned; null when there is none. Not accessible
  // until committed.
  void* (*reserve)(void* context, Bytes bytes) noexcept = nullptr;

  // Makes [begin, begin + bytes) of a reservation readable and writable. Memory committed for the
  // first time reads as zero; memory committed already keeps its contents. Both ends are multiples
  // of 4 KiB from the reservation's start; committing more is allowed. False when there is no
  // memory.
  bool (*commit)(void* context, void* begin, Bytes bytes) noexcept = nullptr;

  // Ends a whole reservation.
  void (*release)(void* context, void* begin, Bytes bytes) noexcept = nullptr;

  // Gives back the memory behind free pages: they read as zero when next used. May be null where
  // there is no memory behind pages; they are then only marked.
  void (*purge)(void* context, Addr begin, Bytes bytes) noexcept = nullptr;

  // Asks for huge pages behind metadata, or for none. False when refused. May be null.
  bool (*advise_huge)(void* context, void* begin, Bytes bytes, bool on) noexcept = nullptr;

  // Nanoseconds from any fixed moment. Read only by a scavenge with a deadline. May be null.
  std::uint64_t (*now_ns)(void* context) noexcept = nullptr;
};

}  // namespace ream::page
