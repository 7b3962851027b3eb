// The fields of each record of a frame, in their order: the one place that both the encoder and the
// decoder follow.
//
// Thread safety: plain functions.
#pragma once

#include "inspect/frame.h"
#include "inspect/snapshot.h"

namespace ream::inspect::frame {

// Each calls visit(field) for all fields; Row is const for an encoder.
template <class Row, class Visit>
constexpr void visit_counters(Row& c, Visit visit) noexcept {
  visit(c.pid), visit(c.page_shift), visit(c.map_log_pages);
  visit(c.live), visit(c.small_live), visit(c.large_live), visit(c.cached);
  visit(c.free_in_spans), visit(c.peak_in_use), visit(c.grown), visit(c.in_use);
  visit(c.free), visit(c.scavenged), visit(c.metadata), visit(c.mallocs), visit(c.frees);
  visit(c.live_objects), visit(c.large_objects), visit(c.spans), visit(c.threads);
  visit(c.purged), visit(c.torn);
}

template <class Row, class Visit>
constexpr void visit_class(Row& r, Visit visit) noexcept {
  visit(r.size_class), visit(r.object_bytes), visit(r.live), visit(r.cached), visit(r.free);
  visit(r.spans), visit(r.span_bytes), visit(r.mallocs), visit(r.frees);
}

template <class Row, class Visit>
constexpr void visit_group(Row& g, Visit visit) noexcept {
  visit(g.first_page), visit(g.in_use), visit(g.large), visit(g.free), visit(g.scavenged);
  visit(g.live_bytes);
}

template <class Row, class Visit>
constexpr void visit_large(Row& l, Visit visit) noexcept {
  visit(l.base), visit(l.bytes), visit(l.requested_bytes);
}

// What a record comes to, checked against the format.
template <class Row, class Fields>
consteval std::uint32_t record_bytes(Fields fields) noexcept {
  Row row{};
  std::uint32_t sum = 0;
  fields(row, [&sum](auto& field) noexcept { sum += sizeof(field); });
  return sum;
}

static_assert(record_bytes<Counters>([](auto& r, auto v) { visit_counters(r, v); }) ==
              kCountersBytes);
static_assert(record_bytes<ClassRow>([](auto& r, auto v) { visit_class(r, v); }) == kClassBytes);
static_assert(record_bytes<MapGroup>([](auto& r, auto v) { visit_group(r, v); }) == kGroupBytes);
static_assert(record_bytes<LargeRow>([](auto& r, auto v) { visit_large(r, v); }) == kLargeBytes);
// No field is forgotten.
static_assert(sizeof(Counters) == kCountersBytes && sizeof(ClassRow) == kClassBytes &&
              sizeof(MapGroup) == kGroupBytes && sizeof(LargeRow) == kLargeBytes);

}  // namespace ream::inspect::frame
