// The heap of a small language runtime: spans of objects on pages of ream::page, a collector that
// marks and sweeps, and free memory that goes back to the system.
//
//   reserved   |<------------------------------ 256 MiB ----------------------------->|
//   grown      |== chunk ==|== chunk ==|           more when nothing fits
//   pages      |  span of 32-byte objects  | span of 256 | one large object | free | ...
//
// Address space is reserved once. It is made accessible and handed to grow() chunk by chunk. A span
// is a run of pages with objects of one size, or one large object. A span that the collector finds
// empty is freed; the scavenger gives free pages back with madvise, through the Environment, and
// alloc() tells how much of a run reads as zero, so that only the rest needs clearing.
#include <ream/page.h>
#include <ream/page_os.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

using namespace ream::page;
using namespace ream::page::literals;

namespace {

using G = Window1T;  // 8 KiB pages; compiled into the library
constexpr Bytes kReserved = 256_MiB;
constexpr Bytes kChunk{G::kChunkBytes};

void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(what);
}

// An object: its references to others, then bytes that the runtime does not look into.
struct Object {
  std::uint32_t references;
  std::uint32_t payload_bytes;

  [[nodiscard]] Object*& reference(unsigned i) { return reinterpret_cast<Object**>(this + 1)[i]; }
  [[nodiscard]] std::uint64_t* payload() {
    return reinterpret_cast<std::uint64_t*>(&reference(references));
  }
};

struct Span {
  Addr base;
  Pages pages;
  std::uint64_t object_bytes;
  std::vector<bool> used;
  std::vector<bool> marked;
  std::uint64_t live = 0;
  std::uint64_t next = 0;  // no free slot below it
};

struct SpanList {
  std::vector<std::unique_ptr<Span>> spans;
  std::size_t full = 0;  // spans from the first on that have no free slot
};

// ---- The heap --------------------------------------------------------------------------------

class Heap {
 public:
  Heap() {
    void* memory =
        mmap(nullptr, (kReserved + kChunk).n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "no address space");
    reservation_ = Addr(memory);
    base_ = grown_to_ = chunk_align_up<G>(reservation_);
    const InitResult init = pages_.init(os_environment(), window_base_for<G>(base_));
    require(init == InitResult::kOk, reason(init));
    first_page_ = pages_.encode_page_id(base_);
    span_of_page_.resize(kReserved.n >> G::kPageShift);
  }
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  ~Heap() {
    pages_.release();
    munmap(reservation_.ptr(), (kReserved + kChunk).n);
  }

  // A new object, its references null and its payload zero.
  Object* allocate(std::uint32_t references, std::uint32_t payload_bytes) {
    const std::uint64_t bytes = sizeof(Object) + references * sizeof(Object*) + payload_bytes;
    Span& span = span_with_room(bytes);
    while (span.used[span.next]) ++span.next;
    span.used[span.next] = true;
    ++span.live;
    const Addr at = span.base + Bytes(span.next * span.object_bytes);
    return new (at.ptr()) Object{references, payload_bytes};
  }

  std::vector<Object*> roots;

  // Frees what no root reaches.
  void collect() {
    mark();
    for (auto& [size, list] : lists_) {
      std::vector<std::unique_ptr<Span>> kept;
      for (auto& span : list.spans) {
        sweep(*span);
        if (span->live > 0)
          kept.push_back(std::move(span));
        else
          free_span(*span);
      }
      list = {std::move(kept), 0};
    }
  }

  Bytes give_back() { return pages_.scavenge(Bytes(~std::uint64_t{0})); }

  [[nodiscard]] const PageAlloc<G>& pages() const { return pages_; }
  [[nodiscard]] std::uint64_t live_objects() const {
    std::uint64_t live = 0;
    for (const auto& [size, list] : lists_) {
      for (const auto& span : list.spans) live += span->live;
    }
    return live;
  }
  [[nodiscard]] Bytes cleared() const { return cleared_; }

  // Bytes of grown pages that are in memory now.
  [[nodiscard]] Bytes resident() const {
    const auto os_page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    std::vector<unsigned char> in_memory((grown_to_ - base_).n / os_page);
    require(mincore(base_.ptr(), (grown_to_ - base_).n, in_memory.data()) == 0, "mincore failed");
    std::uint64_t resident = 0;
    for (const unsigned char x : in_memory) resident += x & 1u;
    return Bytes(resident * os_page);
  }

 private:
  static constexpr std::uint64_t kSizes[] = {32, 64, 256, 1024};
  static constexpr std::uint64_t kLarge = 0;  // the list of spans with one object each

  Span& span_with_room(std::uint64_t bytes) {
    for (const std::uint64_t size : kSizes) {
      if (bytes > size) continue;
      SpanList& list = lists_[size];
      for (; list.full < list.spans.size(); ++list.full) {
        Span& span = *list.spans[list.full];
        if (span.live < span.used.size()) return span;
      }
      list.spans.push_back(new_span(Pages(1), size));
      return *list.spans.back();
    }
    const Pages n = pages_for<G>(Bytes(bytes));
    SpanList& large = lists_[kLarge];
    large.spans.push_back(new_span(n, bytes_of<G>(n).n));
    return *large.spans.back();
  }

  std::unique_ptr<Span> new_span(Pages n, std::uint64_t object_bytes) {
    Allocation run = pages_.alloc(n);
    while (!run) {
      grow(n);
      run = pages_.alloc(n);
    }
    // What was given back reads as zero, so a run that was given back whole needs no clearing.
    const Bytes bytes = bytes_of<G>(n);
    if (run.scavenged != bytes) {
      std::memset(run.base.ptr(), 0, bytes.n);
      cleared_ += bytes;
    }
    auto span = std::make_unique<Span>();
    span->base = run.base;
    span->pages = n;
    span->object_bytes = object_bytes;
    span->used.resize(bytes.n / object_bytes);
    span->marked.resize(bytes.n / object_bytes);
    note_span(*span, span.get());
    return span;
  }

  void grow(Pages n) {
    const Bytes bytes(ream::round_up(bytes_of<G>(n).n, kChunk.n));
    require(grown_to_ + bytes <= base_ + kReserved, "out of memory");
    require(mprotect(grown_to_.ptr(), bytes.n, PROT_READ | PROT_WRITE) == 0, "out of memory");
    const GrowResult result = pages_.grow(grown_to_, bytes);
    require(result == GrowResult::kOk, reason(result));
    grown_to_ = grown_to_ + bytes;
  }

  void free_span(Span& span) {
    note_span(span, nullptr);
    require(pages_.free(span.base, span.pages), "a span was not in use");
  }

  // Every page knows its span; pages are numbered from the first of the reservation.
  void note_span(const Span& span, Span* value) {
    const std::uint64_t first = pages_.encode_page_id(span.base) - first_page_;
    for (std::uint64_t i = 0; i < span.pages.n; ++i) span_of_page_[first + i] = value;
  }

  void mark() {
    std::vector<Object*> grey = roots;
    while (!grey.empty()) {
      Object* object = grey.back();
      grey.pop_back();
      if (object == nullptr) continue;
      Span& span = *span_of_page_[pages_.encode_page_id(Addr(object)) - first_page_];
      const std::uint64_t slot = (Addr(object) - span.base).n / span.object_bytes;
      if (span.marked[slot]) continue;
      span.marked[slot] = true;
      for (unsigned i = 0; i < object->references; ++i) grey.push_back(object->reference(i));
    }
  }

  void sweep(Span& span) {
    for (std::uint64_t slot = 0; slot < span.used.size(); ++slot) {
      if (!span.used[slot] || span.marked[slot]) continue;
      const Addr at = span.base + Bytes(slot * span.object_bytes);
      std::memset(at.ptr(), 0, span.object_bytes);  // as allocate() expects it
      span.used[slot] = false;
      --span.live;
    }
    span.marked.assign(span.marked.size(), false);
    span.next = 0;
  }

  Addr reservation_{};
  Addr base_{};
  Addr grown_to_{};
  std::uint64_t first_page_ = 0;
  PageAlloc<G> pages_;
  std::map<std::uint64_t, SpanList> lists_;  // by size of objects
  std::vector<Span*> span_of_page_;
  Bytes cleared_{};
};

// ---- A program that runs on it ---------------------------------------------------------------

Object* make_tree(Heap& heap, unsigned depth) {
  Object* node = heap.allocate(2, 8);
  *node->payload() = depth;
  if (depth == 0) return node;
  node->reference(0) = make_tree(heap, depth - 1);
  node->reference(1) = make_tree(heap, depth - 1);
  return node;
}

std::uint64_t sum_of_tree(Object* node) {
  if (node == nullptr) return 0;
  return *node->payload() + sum_of_tree(node->reference(0)) + sum_of_tree(node->reference(1));
}

Object* make_list(Heap& heap, unsigned length, std::uint32_t payload_bytes) {
  Object* head = nullptr;
  for (unsigned i = 0; i < length; ++i) {
    Object* node = heap.allocate(1, payload_bytes);
    require(node->payload()[payload_bytes / 8 - 1] == 0, "a new object is not zero");
    std::memset(node->payload(), 0xee, payload_bytes);
    node->reference(0) = std::exchange(head, node);
  }
  return head;
}

void report(const Heap& heap, const char* when) {
  const PageAlloc<G>& pages = heap.pages();
  const Pages free = pages.free_pages_total();
  const Pages with_memory = pages.unscavenged_free_pages();
  std::printf("%-22s %6zu objects, %5zu pages in use, %5zu free, %5zu given back\n", when,
              size_t{heap.live_objects()}, size_t{(pages.total_pages() - free).n},
              size_t{with_memory.n}, size_t{(free - with_memory).n});
}

void run() {
  Heap heap;
  Object* tree = make_tree(heap, 14);
  heap.roots = {tree, make_list(heap, 20000, 200), make_list(heap, 50, 300000)};
  const std::uint64_t sum = sum_of_tree(tree);
  report(heap, "tree and two lists:");

  heap.roots = {tree};
  heap.collect();
  report(heap, "lists dropped:");

  const Bytes before = heap.resident();
  const Bytes back = heap.give_back();
  report(heap, "scavenged:");
  std::printf("%zu KiB given back; resident memory fell: %s\n", size_t{back.n >> 10},
              before.n - heap.resident().n >= back.n / 2 ? "yes" : "no");

  const Bytes cleared = heap.cleared();
  heap.roots.push_back(make_list(heap, 20, 1000000));
  report(heap, "a new list:");
  std::printf("cleared %zu KiB: what was given back is zero\n",
              size_t{(heap.cleared() - cleared).n >> 10});

  heap.collect();
  require(sum_of_tree(tree) == sum, "the tree was damaged");
  require(heap.pages().is_valid(), "the page allocator is damaged");
  std::printf("the tree sums to %zu as before\n", size_t{sum});
}

}  // namespace

int main() try {
  run();
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "runtime_heap: %s\n", e.what());
  return 1;
}
