// What glibc's programs ask a malloc about itself: mallinfo, malloc_info, malloc_stats, mallopt,
// malloc_trim. The counters are ream's; where a glibc field has no counterpart it is 0.
//
// Thread safety: all functions.
#include <malloc.h>

#include <cerrno>
#include <climits>
#include <cstdio>

#include "abi/export.h"
#include "base/format.h"
#include "heap/heap.h"
#include "os/os.h"

namespace {

using ream::Bytes;
using ream::g_heap;
using ream::HeapStats;

int clamp_int(std::size_t x) noexcept { return x > INT_MAX ? INT_MAX : static_cast<int>(x); }

}  // namespace

// arena: memory from the OS; uordblks: live; fordblks: free, in caches or in spans; keepcost: what
// malloc_trim could give back; hblks/hblkhd: large objects.
REAM_EXPORT struct mallinfo2 mallinfo2() noexcept {
  const HeapStats s = g_heap.stats();
  const Bytes resident = s.resident() - s.metadata_touched;
  struct mallinfo2 info{};
  info.arena = resident.n - s.large_live.n;
  info.hblks = s.large_objects;
  info.hblkhd = s.large_live.n;
  info.uordblks = s.size.n;
  info.fordblks = resident.n - s.size.n;
  info.keepcost = (s.free - s.scavenged).n;
  return info;
}

REAM_EXPORT struct mallinfo mallinfo() noexcept {
  const struct mallinfo2 wide = mallinfo2();
  struct mallinfo info{};
  info.arena = clamp_int(wide.arena);
  info.hblks = clamp_int(wide.hblks);
  info.hblkhd = clamp_int(wide.hblkhd);
  info.uordblks = clamp_int(wide.uordblks);
  info.fordblks = clamp_int(wide.fordblks);
  info.keepcost = clamp_int(wide.keepcost);
  return info;
}

// 1 when memory went back to the OS. All free memory does: the padding asked for is not kept.
REAM_EXPORT int malloc_trim(std::size_t) noexcept { return g_heap.trim().n > 0 ? 1 : 0; }

// Known parameters are accepted and change nothing: ream adapts by itself.
REAM_EXPORT int mallopt(int parameter, int) noexcept {
  switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
      return 1;
    default:
      return 0;
  }
}

// One XML document, of the shape that glibc's readers expect: sizes and totals of one heap.
REAM_EXPORT int malloc_info(int options, FILE* stream) noexcept {
  if (options != 0) {
    errno = EINVAL;
    return -1;
  }
  const HeapStats s = g_heap.stats();
  std::fprintf(stream,
               "<malloc version=\"1\" implementation=\"ream %s\">\n<heap nr=\"0\">\n<sizes>\n",
               ream::kVersion);
  for (std::size_t c = 1; c < ream::kClassCount; ++c) {
    const ream::ClassStats k = g_heap.class_stats(static_cast<ream::ClassIndex>(c));
    if (k.spans == 0) continue;
    std::fprintf(stream,
                 "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\" live=\"%zu\"/>\n",
                 std::size_t{ream::kSizeClasses[c - 1].object_bytes + 1u},
                 std::size_t{k.object_bytes}, std::size_t{(k.free + k.cached) * k.object_bytes},
                 std::size_t{k.free + k.cached}, std::size_t{k.live});
  }
  std::fprintf(stream,
               "</sizes>\n</heap>\n"
               "<total type=\"live\" count=\"%zu\" size=\"%zu\"/>\n"
               "<total type=\"cached\" size=\"%zu\"/>\n"
               "<total type=\"large\" count=\"%zu\" size=\"%zu\"/>\n"
               "<system type=\"current\" size=\"%zu\"/>\n<system type=\"max\" size=\"%zu\"/>\n"
               "<aspace type=\"total\" size=\"%zu\"/>\n</malloc>\n",
               std::size_t{s.live_objects}, std::size_t{s.size.n}, std::size_t{s.cached.n},
               std::size_t{s.large_objects}, std::size_t{s.large_live.n},
               std::size_t{s.resident().n}, std::size_t{s.max.n}, std::size_t{s.grown.n});
  return 0;
}

REAM_EXPORT void malloc_stats() noexcept {
  const HeapStats s = g_heap.stats();
  ream::TextBuffer<2048> out;
  const auto row = [&out](const char* name, std::uint64_t value) noexcept {
    out.text(name).dec(value).text("\n");
  };
  out.text("ream ").text(ream::kVersion).text("\n");
  row("live bytes       = ", s.size.n);
  row("live objects     = ", s.live_objects);
  row("cached bytes     = ", s.cached.n);
  row("pages in use     = ", s.in_use.n);
  row("pages free       = ", s.free.n);
  row("of these given back = ", s.scavenged.n);
  row("inside spans too = ", s.inside_purged.n);
  row("metadata         = ", s.metadata_touched.n);
  row("resident at most = ", s.resident().n);
  row("address space    = ", s.grown.n);
  row("mallocs          = ", s.nmalloc);
  row("frees            = ", s.nfree);
  row("memory pressure heard = ", s.pressures);
  row("2 MiB regions made huge = ", s.huge_pages.collapsed);
  row("advised to be        = ", s.huge_pages.advised);
  row("advised not to be    = ", s.huge_pages.advised_against);
  row("split                = ", s.huge_pages.split);
  row("refused              = ", s.huge_pages.refused);
  row("of the system's pool = ", s.huge_pages.pooled);
  row("growths it refused   = ", s.huge_pages.pool_refused);
  for (unsigned i = 0; s.node_count > 1 && i < s.node_count; ++i) {
    out.text("pages in use, node ").dec(i).text(" = ").dec(s.nodes[i].in_use.n).text("\n");
  }
  ream::os::write_stderr(out.data(), out.size());
}
