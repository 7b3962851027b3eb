#include "inspect/frame_decode.h"

#include <cstring>
#include <type_traits>

#include "inspect/record.h"

namespace ream::inspect {
namespace {

using Bytes = const unsigned char*;

template <class T>
T number_at(Bytes p) noexcept {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < sizeof(T); ++i) value |= std::uint64_t{p[i]} << (8 * i);
  return static_cast<T>(value);
}

struct Section {
  std::uint32_t tag = 0;
  std::uint32_t record_bytes = 0;
  std::uint64_t records = 0;
  std::size_t begin = 0;  // of the records
};

class Decoder {
 public:
  Decoder(Bytes bytes, std::size_t n, Snapshot& out) noexcept : bytes_(bytes), n_(n), out_(out) {}

  DecodeError run() noexcept {
    clear(out_);
    if (const DecodeError error = header()) return error;
    std::size_t at = frame::kHeaderBytes;
    const std::size_t end = n_ - frame::kTrailerBytes;
    for (std::uint32_t i = 0; i < sections_; ++i) {
      Section s;
      if (const DecodeError error = section_header(at, end, s)) return error;
      if (const DecodeError error = section(s)) return error;
      at = s.begin + s.record_bytes * s.records;
    }
    if (at != end) return {"bytes behind the last section", at};
    return whole();
  }

 private:
  DecodeError header() noexcept {
    if (n_ < frame::kHeaderBytes + frame::kTrailerBytes) return {"too short for a frame", n_};
    if (std::memcmp(bytes_, frame::kMagic, sizeof(frame::kMagic)) != 0)
      return {"not a frame: it does not begin with REAMSNAP", 0};
    if (number_at<std::uint32_t>(bytes_ + 8) != frame::kVersion)
      return {"a version of the format that is not known", 8};
    const auto length = number_at<std::uint64_t>(bytes_ + 16);
    if (length > n_) return {"cut short", n_};
    if (length < n_) return {"bytes behind the frame", static_cast<std::size_t>(length)};
    const std::size_t end = n_ - frame::kTrailerBytes;
    if (frame::checksum(frame::kChecksumStart, bytes_, end) !=
        number_at<std::uint64_t>(bytes_ + end))
      return {"the checksum does not match", end};
    sections_ = number_at<std::uint32_t>(bytes_ + 12);
    return {};
  }

  DecodeError section_header(std::size_t at, std::size_t end, Section& s) const noexcept {
    if (end - at < frame::kSectionBytes) return {"a section is missing", at};
    s.tag = number_at<std::uint32_t>(bytes_ + at);
    s.record_bytes = number_at<std::uint32_t>(bytes_ + at + 4);
    s.records = number_at<std::uint64_t>(bytes_ + at + 8);
    s.begin = at + frame::kSectionBytes;
    if (s.record_bytes == 0) return {"records of no bytes", at + 4};
    if (s.records > (end - s.begin) / s.record_bytes)
      return {"a section reaches beyond the frame", at + 8};
    return {};
  }

  DecodeError section(const Section& s) noexcept {
    switch (s.tag) {
      case frame::kInfo:
        return info(s);
      case frame::kCounters:
        return counters(s);
      case frame::kClasses:
        return rows(s, frame::kClassBytes, out_.classes, seen_classes_,
                    [](ClassRow& r, auto visit) noexcept { frame::visit_class(r, visit); });
      case frame::kMap:
        return rows(s, frame::kGroupBytes, out_.map, seen_map_,
                    [](MapGroup& r, auto visit) noexcept { frame::visit_group(r, visit); });
      case frame::kLarge:
        return rows(s, frame::kLargeBytes, out_.large, seen_large_,
                    [](LargeRow& r, auto visit) noexcept { frame::visit_large(r, visit); });
      default:
        return {};
    }
  }

  static DecodeError once(const Section& s, std::uint32_t least, bool& seen) noexcept {
    const std::size_t at = s.begin - frame::kSectionBytes;
    if (seen) return {"a section comes twice", at};
    if (s.record_bytes < least) return {"records are too short", at + 4};
    seen = true;
    return {};
  }

  DecodeError info(const Section& s) noexcept {
    if (const DecodeError error = once(s, frame::kInfoBytes, seen_info_)) return error;
    if (s.records != 1) return {"one record is expected", s.begin - 8};
    std::memcpy(out_.library_version.data(), bytes_ + s.begin, out_.library_version.size());
    out_.library_version.back() = '\0';
    for (char& c : out_.library_version) {
      if (c != '\0' && (c < ' ' || c > '~')) return {"the library's version is not text", s.begin};
    }
    return {};
  }

  DecodeError counters(const Section& s) noexcept {
    if (const DecodeError error = once(s, frame::kCountersBytes, seen_counters_)) return error;
    if (s.records != 1) return {"one record is expected", s.begin - 8};
    Bytes p = bytes_ + s.begin;
    frame::visit_counters(out_.counters, [&p](std::uint64_t& field) noexcept {
      field = number_at<std::uint64_t>(p);
      p += 8;
    });
    counters_at_ = s.begin;
    return {};
  }

  template <class R, std::size_t kCapacity, class Fields>
  DecodeError rows(const Section& s, std::uint32_t least, Rows<R, kCapacity>& rows, bool& seen,
                   Fields fields) noexcept {
    if (const DecodeError error = once(s, least, seen)) return error;
    if (s.records > kCapacity) return {"more records than there can be", s.begin - 8};
    for (std::uint64_t i = 0; i < s.records; ++i) {
      const std::size_t at = s.begin + s.record_bytes * i;
      Bytes p = bytes_ + at;
      R row;
      fields(row, [&p](auto& field) noexcept {
        field = number_at<std::remove_reference_t<decltype(field)>>(p);
        p += sizeof(field);
      });
      if (rows.count > 0 && !in_order(rows.items[rows.count - 1], row))
        return {"records are not in order", at};
      rows.items[rows.count++] = row;
    }
    if constexpr (std::is_same_v<R, MapGroup>) {
      map_at_ = s.begin;
      map_record_ = s.record_bytes;
    }
    return {};
  }

  static bool in_order(const ClassRow& a, const ClassRow& b) noexcept {
    return a.size_class < b.size_class;
  }
  static bool in_order(const MapGroup& a, const MapGroup& b) noexcept {
    return a.first_page < b.first_page;
  }
  static bool in_order(const LargeRow& a, const LargeRow& b) noexcept { return a.bytes >= b.bytes; }

  // What only shows when all sections are there.
  DecodeError whole() const noexcept {
    if (!seen_info_ || !seen_counters_ || !seen_classes_ || !seen_map_ || !seen_large_)
      return {"a section is missing", n_ - frame::kTrailerBytes};
    const Counters& c = out_.counters;
    if (c.page_shift < 10 || c.page_shift > 20)
      return {"the page size is impossible", counters_at_};
    if (c.map_log_pages > 31) return {"the map's groups are impossible", counters_at_};
    const std::uint64_t size = std::uint64_t{1} << c.map_log_pages;
    for (std::size_t i = 0; i < out_.map.count; ++i) {
      const MapGroup& g = out_.map.items[i];
      const bool fits = std::uint64_t{g.in_use} + g.free + g.scavenged <= size &&
                        g.large <= g.in_use && g.first_page % size == 0 &&
                        g.first_page <= ~std::uint64_t{0} >> c.page_shift;
      if (!fits) return {"a group of the map is impossible", map_at_ + i * map_record_};
    }
    return {};
  }

  Bytes bytes_;
  std::size_t n_;
  Snapshot& out_;
  std::uint32_t sections_ = 0;
  bool seen_info_ = false;
  bool seen_counters_ = false;
  bool seen_classes_ = false;
  bool seen_map_ = false;
  bool seen_large_ = false;
  std::size_t counters_at_ = 0;
  std::size_t map_at_ = 0;
  std::size_t map_record_ = 0;
};

}  // namespace

DecodeError decode(const void* bytes, std::size_t n, Snapshot& snapshot) noexcept {
  return Decoder(static_cast<Bytes>(bytes), n, snapshot).run();
}

}  // namespace ream::inspect
