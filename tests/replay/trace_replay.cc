// Traces: operations on a heap, their results, and hashes and dumps of its state.

#include <memory>
#include <string>
#include <vector>

#include "page/metadata_memory.h"
#include "page/page_alloc.h"
#include "replay/text_file.h"

namespace ream::replay {
namespace {

using page::Allocation;
using page::Chunk;
using page::ChunkIndex;
using page::FreeKind;
using page::Go48;
using page::GrowResult;
using page::PageAlloc;
using page::PageCache;
using page::Summary;

// Page 0 of the trace; entries of every level begin here.
constexpr Addr kBase{1ULL << 40};
constexpr unsigned kLevels = Go48::kLevels;

constexpr std::uint64_t mix(std::uint64_t h, std::uint64_t w) {
  h = (h ^ w) * 0x9E3779B97F4A7C15;
  return h ^ h >> 29;
}
constexpr std::uint64_t kHashStart = 0xcbf29ce484222325;

class TraceReplay {
 public:
  TraceReplay(TextFile& file, Score& score) : file_(file), score_(score) {
    if (heap_->init(memory_.environment()) != page::InitResult::kOk) file.stop("no memory");
  }

  void run() {
    while (file_.next()) {
      if (file_.line().starts_with('#'))
        read_header();
      else
        step();
    }
    if (!has_const_) file_.stop("no `# const` line");
  }

 private:
  void read_header() {
    if (!file_.line().starts_with("# const ")) return;
    has_const_ = true;
    Fields fields(file_, file_.line().substr(8));
    page::ScavengeShape shape{0, 0};
    while (!fields.empty()) {
      const std::string_view word = fields.word();
      const std::size_t equals = std::min(word.find('='), word.size() - 1);
      const std::string_view key = word.substr(0, equals);
      const std::uint64_t value = fields.number(word.substr(equals + 1), 10);
      if (key == "hugepages")
        shape.huge_page = static_cast<unsigned>(value);
      else if (key == "minpages")
        shape.physical_page = static_cast<unsigned>(value);
      else if (key == "caches")
        caches_.resize(value);
      else if ((key == "page" && value != Go48::kPageBytes) ||
               (key == "chunkpages" && value != page::kChunkPages) ||
               (key == "levels" && value != kLevels)) {
        file_.stop("a trace of another geometry");
      }
    }
    if (!is_power_of_two(shape.physical_page) || shape.physical_page > page::kWordPages) {
      file_.stop("page sizes out of range");
    }
    heap_->set_scavenge_shape(shape);
  }

  void step() {
    if (!has_const_) file_.stop("an operation before the `# const` line");
    const std::string_view line = file_.line();
    if (line.size() == 0) file_.stop("an empty line");
    const std::size_t arrow = std::min(line.find(" -> "), line.size());
    const std::string call(line.substr(0, arrow));
    Fields args(file_, call);
    const std::string_view op = args.word();
    if (op.size() != 1) file_.stop("unknown operation " + std::string(op));
    score_.op();
    std::string got = call;
    switch (op[0]) {
      case 'G':
        got += grow(args);
        break;
      case 'A':
        got += result(heap_->alloc(Pages(args.dec())));
        break;
      case 'F':
        got += free(args, FreeKind::kCandidate);
        break;
      case 'f':
        got += free(args, FreeKind::kQuiet);
        break;
      case 'C':
        got += fill_cache(args);
        break;
      case 'c':
        got += alloc_from_cache(args);
        break;
      case 'X':
        heap_->flush(cache(args));
        break;
      case 'S':
        got += " -> " + std::to_string(heap_->scavenge(Bytes(args.dec())).n);
        break;
      case 'H':
        got = hashes(args);
        break;
      case 'E':
        dump();
        return;
      default:
        file_.stop("unknown operation " + std::string(op));
    }
    args.finish();
    score_.compare(file_, line, got);
  }

  std::string grow(Fields& args) {
    const Addr base = addr_of(args.dec());
    const Bytes bytes(args.dec() << Go48::kPageShift);
    return heap_->grow(base, bytes) == GrowResult::kOk ? "" : " refused";
  }

  std::string free(Fields& args, FreeKind kind) {
    const Addr base = addr_of(args.dec());
    return heap_->free(base, Pages(args.dec()), kind) ? "" : " refused";
  }

  PageCache<Go48>& cache(Fields& args) { return caches_[args.dec_below(caches_.size())]; }

  std::string fill_cache(Fields& args) {
    PageCache<Go48>& into = cache(args);
    into = heap_->alloc_to_cache();
    if (into.empty()) return " -> -";
    LineText text;
    text.dec(page_of(into.base())).hex(into.free()).hex(into.scavenged());
    return " -> " + text.text();
  }

  std::string alloc_from_cache(Fields& args) {
    PageCache<Go48>& from = cache(args);
    return result(from.alloc(Pages(args.dec())));
  }

  static std::string result(const Allocation& a) {
    if (!a) return " -> -";
    LineText text;
    text.dec(page_of(a.base)).dec(a.scavenged.n >> Go48::kPageShift);
    return " -> " + text.text();
  }

  // ---- State ---------------------------------------------------------------------------------

  static Addr addr_of(std::uint64_t page) { return kBase + Bytes(page << Go48::kPageShift); }
  static std::uint64_t page_of(Addr a) { return (a - kBase).n >> Go48::kPageShift; }
  // Entry of a level, counted from the trace's base.
  static std::uint64_t base_entry(unsigned level) { return kBase.n >> Go48::level_shift(level); }

  // Calls visit(chunk, counted from the base) for all grown chunks, ascending.
  template <class Visit>
  void for_each_chunk(Visit visit) const {
    heap_->for_each_grown([&](Addr base, Bytes bytes) {
      const std::uint64_t first = (base - kBase).n >> Go48::kLogChunkBytes;
      const std::uint64_t count = bytes.n >> Go48::kLogChunkBytes;
      for (std::uint64_t c = first; c < first + count; ++c) visit(c);
    });
  }
  // Calls visit(entry, counted from the base) for all entries of a level that cover a grown chunk.
  template <class Visit>
  void for_each_entry(unsigned level, Visit visit) const {
    const unsigned shift = Go48::level_shift(level) - Go48::kLogChunkBytes;
    std::uint64_t next = 0;  // not visited yet
    heap_->for_each_grown([&](Addr base, Bytes bytes) {
      const std::uint64_t first = (base - kBase).n >> Go48::kLogChunkBytes;
      const std::uint64_t end = first + (bytes.n >> Go48::kLogChunkBytes);
      for (std::uint64_t i = std::max(next, first >> shift); i <= (end - 1) >> shift; ++i) visit(i);
      next = ((end - 1) >> shift) + 1;
    });
  }
  const Chunk& chunk(std::uint64_t c) const {
    return heap_->chunk_of(ChunkIndex{c + base_entry(kLevels - 1)});
  }
  Summary summary(unsigned level, std::uint64_t i) const {
    return heap_->summary(level, base_entry(level) + i);
  }

  std::string hashes(Fields& args) const {
    const std::uint64_t at = args.dec();
    while (!args.empty()) args.word();
    std::uint64_t used = kHashStart;
    std::uint64_t scavenged = kHashStart;
    std::uint64_t leaves = kHashStart;
    std::uint64_t tree = kHashStart;
    for_each_chunk([&](std::uint64_t c) {
      for (unsigned w = 0; w < page::kChunkWords; ++w) {
        used = mix(used, chunk(c).used[w]);
        scavenged = mix(scavenged, chunk(c).scavenged_word(w));
      }
    });
    for_each_entry(kLevels - 1,
                   [&](std::uint64_t i) { leaves = mix(leaves, summary(kLevels - 1, i).bits()); });
    for (unsigned level = kLevels - 1; level-- > 0;) {
      for_each_entry(level, [&](std::uint64_t i) { tree = mix(tree, summary(level, i).bits()); });
    }
    LineText text;
    text.word("H").dec(at).hex(used).hex(scavenged).hex(leaves).hex(tree);
    return text.text();
  }

  // Runs of equal neighbours become one line: `<head> <first> <count><tail>`.
  class RunLines {
   public:
    RunLines(std::vector<std::string>& out, std::string head) : out_(out), head_(std::move(head)) {}
    ~RunLines() { end_run(); }
    RunLines(const RunLines&) = delete;
    RunLines& operator=(const RunLines&) = delete;
    void add(std::uint64_t i, std::string tail) {
      if (count_ > 0 && i == first_ + count_ && tail == tail_) {
        ++count_;
        return;
      }
      end_run();
      first_ = i;
      count_ = 1;
      tail_ = std::move(tail);
    }

   private:
    void end_run() {
      if (count_ == 0) return;
      out_.push_back(LineText().word(head_).dec(first_).dec(count_).word(tail_).text());
      count_ = 0;
    }
    std::vector<std::string>& out_;
    std::string head_;
    std::uint64_t first_ = 0;
    std::uint64_t count_ = 0;
    std::string tail_;
  };

  std::vector<std::string> state_lines() const {
    std::vector<std::string> out{"E"};
    std::vector<std::string> ranges;
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    heap_->for_each_grown([&](Addr base, Bytes bytes) {
      const std::uint64_t first = (base - kBase).n >> Go48::kLogChunkBytes;
      if (ranges.empty()) start = first;
      end = first + (bytes.n >> Go48::kLogChunkBytes);
      ranges.push_back(LineText().word("U").dec(first).dec(end).text());
    });
    out.push_back(LineText().word("N").dec(start).dec(end).text());
    out.insert(out.end(), ranges.begin(), ranges.end());
    {
      RunLines lines(out, "B");
      for_each_chunk([&](std::uint64_t c) {
        LineText text;
        for (const std::uint64_t w : chunk(c).used) text.hex(w);
        text.word("|");
        for (unsigned w = 0; w < page::kChunkWords; ++w) text.hex(chunk(c).scavenged_word(w));
        lines.add(c, text.text());
      });
    }
    for (unsigned level = 0; level < kLevels; ++level) {
      RunLines lines(out, "L " + std::to_string(level));
      for_each_entry(level, [&](std::uint64_t i) {
        const Summary s = summary(level, i);
        lines.add(i, LineText().hex(s.bits()).dec(s.start()).dec(s.max()).dec(s.end()).text());
      });
    }
    out.emplace_back("Q");
    return out;
  }

  // The dump that begins at the current line.
  void dump() {
    for (const std::string& got : state_lines()) {
      score_.compare(file_, file_.line(), got);
      if (got == "Q") return;
      if (file_.line() == "Q" || !file_.next()) file_.stop("a dump of another length");
      score_.op();
    }
  }

  TextFile& file_;
  Score& score_;
  page::test::MetadataMemory memory_;
  std::unique_ptr<PageAlloc<Go48>> heap_ = std::make_unique<PageAlloc<Go48>>();
  std::vector<PageCache<Go48>> caches_;
  bool has_const_ = false;
};

}  // namespace

void replay_trace(TextFile& file, Score& score) { TraceReplay(file, score).run(); }

}  // namespace ream::replay
