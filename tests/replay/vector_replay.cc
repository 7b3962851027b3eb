// Vectors: single calls of the functions on bitmaps, summaries and address ranges.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "page/addr_ranges.h"
#include "page/chunk_find.h"
#include "page/chunk_summary.h"
#include "page/metadata_memory.h"
#include "page/scavenge_candidate.h"
#include "page/summary.h"
#include "replay/text_file.h"

namespace ream::replay {
namespace {

using page::AddrRange;
using page::AddrRanges;
using page::ChunkBits;
using page::Runs;
using page::Summary;

// The parts of a `:`-separated query.
std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(by);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string page_or_none(unsigned page) {
  return page == page::kNoPage ? "-" : std::to_string(page);
}

class VectorCheck {
 public:
  VectorCheck(TextFile& file, Score& score) : file_(file), score_(score) {}
  virtual ~VectorCheck() = default;
  VectorCheck(const VectorCheck&) = delete;
  VectorCheck& operator=(const VectorCheck&) = delete;

  void run() {
    while (file_.next()) {
      if (file_.line().starts_with('#')) continue;
      Fields fields(file_, file_.line());
      const std::string kind(fields.word());
      score_.op();
      check(kind, fields);
      fields.finish();
    }
  }

 protected:
  virtual void check(std::string_view kind, Fields& fields) = 0;

  void compare(std::string_view expected, std::string_view got) {
    score_.compare(file_, expected, got);
  }
  [[noreturn]] void unknown(std::string_view kind) const {
    file_.stop("unknown line " + std::string(kind));
  }
  // Parts of a query; exactly `count` of them.
  std::vector<std::string_view> parts(std::string_view text, char by, std::size_t count) const {
    auto found = split(text, by);
    if (found.size() != count) file_.stop("a malformed group: " + std::string(text));
    return found;
  }

  TextFile& file_;
  Score& score_;
};

class BitsCheck final : public VectorCheck {
 public:
  using VectorCheck::VectorCheck;

 private:
  void check(std::string_view kind, Fields& f) override {
    if (kind == "b")
      check_chunk(f);
    else if (kind == "v")
      check_word_search(f);
    else if (kind == "e")
      check_edit(f);
    else if (kind == "r")
      check_range64(f);
    else if (kind == "a")
      check_fill(f);
    else if (kind == "s")
      check_candidate(f);
    else
      unknown(kind);
  }

  static ChunkBits bits(Fields& f) {
    ChunkBits b;
    for (std::uint64_t& w : b) w = f.hex();
    return b;
  }
  unsigned small(Fields& f, std::string_view text, unsigned limit) const {
    const std::uint64_t x = f.number(text, 10);
    if (x > limit) file_.stop("a number is out of range");
    return static_cast<unsigned>(x);
  }

  void check_chunk(Fields& f) {
    const ChunkBits b = bits(f);
    f.expect("|");
    const std::string expected = LineText().word(f.word()).word(f.word()).word(f.word()).text();
    const Summary s = page::summarize(b);
    compare(expected, LineText().dec(s.start()).dec(s.max()).dec(s.end()).text());
    f.expect("|");
    while (!f.accept("|")) {
      const std::string_view query = f.word();
      const auto q = parts(query, ':', 4);
      const unsigned from = small(f, q[1], page::kChunkPages - 1);
      const unsigned at = page::find_run(b, small(f, q[0], page::kChunkPages), from);
      const unsigned first = at == page::kNoPage ? at : page::find_free_page(b, from);
      compare(query, std::string(q[0]) + ':' + std::string(q[1]) + ':' + page_or_none(at) + ':' +
                         page_or_none(first));
    }
    while (!f.empty()) {
      const std::string_view query = f.word();
      const auto q = parts(query, ':', 3);
      const unsigned i = small(f, q[0], page::kChunkPages - 1);
      const unsigned n = small(f, q[1], page::kChunkPages - i);
      compare(query, std::string(q[0]) + ':' + std::string(q[1]) + ':' +
                         std::to_string(page::popcount_range(b, i, n)));
    }
  }

  // Go searches from the first page of the word.
  void check_word_search(Fields& f) {
    const ChunkBits b = bits(f);
    f.expect("|");
    while (!f.empty()) {
      const std::string_view query = f.word();
      const auto q = parts(query, ':', 3);
      const unsigned from = small(f, q[1], page::kChunkPages - 1) / page::kWordPages;
      const unsigned at =
          page::find_run(b, small(f, q[0], page::kChunkPages), from * page::kWordPages);
      compare(query, std::string(q[0]) + ':' + std::string(q[1]) + ':' + page_or_none(at));
    }
  }

  void check_edit(Fields& f) {
    ChunkBits b = bits(f);
    f.expect("|");
    const std::string_view how = f.word();
    if (how != "set" && how != "clr") file_.stop("neither set nor clr");
    const auto i = static_cast<unsigned>(f.dec_below(page::kChunkPages));
    const auto n = static_cast<unsigned>(f.dec_below(page::kChunkPages - i + 1));
    if (n == 0) file_.stop("an empty range");
    if (how == "set")
      page::set_range(b, i, n);
    else
      page::clear_range(b, i, n);
    f.expect("|");
    for (const std::uint64_t w : b) {
      compare(f.word(), LineText().hex(w).text());
    }
  }

  void check_range64(Fields& f) {
    const std::uint64_t c = f.hex();
    const auto n = static_cast<unsigned>(f.dec_below(page::kWordPages + 1));
    if (n == 0) file_.stop("an empty run");
    compare(f.word(), std::to_string(page::find_bit_range64(c, n)));
  }

  void check_fill(Fields& f) {
    const std::uint64_t x = f.hex();
    const std::uint64_t m = f.dec_below(page::kWordPages + 1);
    if (!is_power_of_two(m)) file_.stop("not a power of two");
    compare(f.word(), LineText().hex(page::fill_aligned(x, static_cast<unsigned>(m))).text());
  }

  // A candidate of no pages has no place.
  void check_candidate(Fields& f) {
    ChunkBits busy = bits(f);
    f.expect("|");
    const ChunkBits scavenged = bits(f);
    for (unsigned w = 0; w < page::kChunkWords; ++w) busy[w] |= scavenged[w];
    f.expect("|");
    page::ScavengeShape shape;
    shape.huge_page = static_cast<unsigned>(f.dec_below(1u << 31));
    const auto from = static_cast<unsigned>(f.dec_below(page::kChunkPages));
    shape.physical_page = static_cast<unsigned>(f.dec_below(page::kWordPages + 1));
    if (!is_power_of_two(shape.physical_page)) file_.stop("not a power of two");
    const std::uint64_t max = f.dec();
    f.expect("|");
    const page::ScavengeRun run = page::find_scavenge_candidate(busy, from, shape, max);
    const std::string_view start = f.word();
    const std::string_view pages = f.word();
    compare(pages, std::to_string(run.pages));
    if (run.pages != 0) compare(start, std::to_string(run.start));
  }
};

class SumsCheck final : public VectorCheck {
 public:
  using VectorCheck::VectorCheck;

 private:
  void check(std::string_view kind, Fields& f) override {
    if (kind == "p" || kind == "i")
      check_pack(f);
    else if (kind == "m")
      check_merge(f);
    else
      unknown(kind);
  }

  void check_pack(Fields& f) {
    const std::uint64_t start = f.dec();
    const std::uint64_t max = f.dec();
    const std::uint64_t end = f.dec();
    const std::string expected(f.rest());
    while (!f.empty()) f.word();
    const Summary s = Summary::pack(start, max, end);
    const Runs r = s.unpack();
    compare(expected, LineText().hex(s.bits()).dec(r.start).dec(r.max).dec(r.end).text());
  }

  void check_merge(Fields& f) {
    const auto log_pages = static_cast<unsigned>(f.dec_below(page::kLogMaxPackedPages));
    f.expect("|");
    std::array<Summary, 8> children;
    for (Summary& child : children) {
      const auto q = parts(f.word(), ',', 3);
      child = Summary::pack(f.number(q[0], 10), f.number(q[1], 10), f.number(q[2], 10));
    }
    f.expect("|");
    const std::string expected(f.rest());
    while (!f.empty()) f.word();
    const Runs r = page::merge_summaries(children.data(), children.size(), log_pages);
    compare(expected,
            LineText().dec(r.start).dec(r.max).dec(r.end).hex(Summary::pack(r).bits()).text());
    compare(LineText().hex(Summary::pack(r).bits()).text(),
            LineText()
                .hex(Summary::pack(page::merge_one_by_one(children.data(), 8, log_pages)).bits())
                .text());
  }
};

class RangesCheck final : public VectorCheck {
 public:
  RangesCheck(TextFile& file, Score& score) : VectorCheck(file, score) { start_over(); }

 private:
  void check(std::string_view kind, Fields& f) override {
    if (kind == "new") {
      f.word();
      start_over();
    } else if (kind == "add") {
      const Addr base(f.dec());
      if (!set_->add({base, Addr(f.dec())})) compare("added", "refused");
      check_set(f);
    } else if (kind == "rmge") {
      set_->remove_greater_equal(Addr(f.dec()));
      check_set(f);
    } else if (kind == "rmlast") {
      const AddrRange r = set_->remove_last(Bytes(f.dec()));
      f.expect("->");
      check_range(f, r);
      check_set(f);
    } else if (kind == "clone") {
      auto copy = std::make_unique<AddrRanges>();
      copy->init(environment_);
      if (!set_->clone_into(*copy)) file_.stop("no memory");
      set_->release();
      set_ = std::move(copy);
      check_set(f);
    } else if (kind == "q") {
      check_query(f);
    } else if (kind == "sub") {
      const AddrRange a = range(f);
      const AddrRange b = range(f);
      f.expect("->");
      check_range(f, a.subtract(b));
    } else if (kind == "trim") {
      const AddrRange a = range(f);
      const Addr limit(f.dec());
      f.expect("->");
      check_range(f, a.remove_greater_equal(limit));
    } else {
      unknown(kind);
    }
  }

  void start_over() {
    if (set_ != nullptr) set_->release();
    set_ = std::make_unique<AddrRanges>();
    set_->init(environment_);
  }

  static AddrRange range(Fields& f) {
    const Addr base(f.dec());
    return {base, Addr(f.dec())};
  }
  void check_range(Fields& f, const AddrRange& got) {
    const std::string expected = LineText().word(f.word()).word(f.word()).text();
    compare(expected, LineText().dec(got.base.n).dec(got.limit.n).text());
  }

  void check_set(Fields& f) {
    f.expect("|");
    LineText got;
    got.dec(set_->total_bytes().n);
    for (const AddrRange& r : *set_) {
      got.word(std::to_string(r.base.n) + '-' + std::to_string(r.limit.n));
    }
    compare(f.rest(), got.text());
    while (!f.empty()) f.word();
    compare("valid", set_->is_valid() ? "valid" : "broken");
  }

  void check_query(Fields& f) {
    const Addr a(f.dec());
    const auto next = set_->find_addr_greater_equal(a);
    LineText got;
    got.word("succ=" + std::to_string(set_->find_succ(a)));
    got.word(std::string("contains=") + (set_->contains(a) ? "true" : "false"));
    got.word("ge=" + (next.found ? std::to_string(next.addr.n) : "-"));
    compare(f.rest(), got.text());
    while (!f.empty()) f.word();
  }

  page::test::MetadataMemory memory_;
  page::Environment environment_ = memory_.environment();
  std::unique_ptr<AddrRanges> set_;
};

}  // namespace

void check_vectors(TextFile& file, std::string_view kind, Score& score) {
  if (kind == "bits")
    BitsCheck(file, score).run();
  else if (kind == "sums")
    SumsCheck(file, score).run();
  else if (kind == "ranges")
    RangesCheck(file, score).run();
  else
    file.stop("unknown kind of oracle file: " + std::string(kind));
}

}  // namespace ream::replay
