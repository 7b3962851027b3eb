// Traces: operations on a heap, their results, and hashes and dumps of its state.

#include <memory>
#include <string>
#include <vector>

#include "page/metadata_memory.h"
#include "page/page_alloc.h"
#include "replay/heap_state.h"
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

  std::string hashes(Fields& args) const {
    const std::uint64_t at = args.dec();
    while (!args.empty()) args.word();
    const StateHash hash = hash_state(*heap_);
    LineText text;
    text.word("H").dec(at).hex(hash.used).hex(hash.scavenged).hex(hash.leaves).hex(hash.tree);
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
      for_each_chunk(*heap_, [&](ChunkIndex c) {
        const Chunk& chunk = heap_->chunk_of(c);
        LineText text;
        for (const std::uint64_t w : chunk.used) text.hex(w);
        text.word("|");
        for (unsigned w = 0; w < page::kChunkWords; ++w) text.hex(chunk.scavenged_word(w));
        lines.add(c.n - base_entry(kLevels - 1), text.text());
      });
    }
    for (unsigned level = 0; level < kLevels; ++level) {
      RunLines lines(out, "L " + std::to_string(level));
      for_each_entry(*heap_, level, [&](std::uint64_t i) {
        const Summary s = heap_->summary(level, i);
        lines.add(i - base_entry(level),
                  LineText().hex(s.bits()).dec(s.start()).dec(s.max()).dec(s.end()).text());
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
