#include "inspect/frame_encode.h"

#include <array>
#include <cstdint>

#include "inspect/record.h"

namespace ream::inspect {
namespace {

class Writer {
 public:
  explicit Writer(const FrameSink& sink) noexcept : sink_(sink) {}

  template <class T>
  void number(T value) noexcept {
    for (unsigned i = 0; i < sizeof(T); ++i) {
      put(static_cast<unsigned char>(std::uint64_t{value} >> (8 * i)));
    }
  }
  void text(const char* bytes, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) put(static_cast<unsigned char>(bytes[i]));
  }
  void section(std::uint32_t tag, std::uint32_t record_bytes, std::uint64_t records) noexcept {
    number(tag);
    number(record_bytes);
    number(records);
  }

  // Ends the frame with the checksum of all before it.
  [[nodiscard]] bool finish() noexcept {
    sum_ = frame::checksum(sum_, piece_.data(), used_);
    flush();
    number(sum_);
    flush();
    return ok_;
  }

 private:
  void put(unsigned char byte) noexcept {
    if (used_ == piece_.size()) {
      sum_ = frame::checksum(sum_, piece_.data(), used_);
      flush();
    }
    piece_[used_++] = byte;
  }
  void flush() noexcept {
    ok_ = ok_ && sink_.write(sink_.context, piece_.data(), used_);
    used_ = 0;
  }

  const FrameSink& sink_;
  std::array<unsigned char, kPieceBytes> piece_;
  std::size_t used_ = 0;
  std::uint64_t sum_ = frame::kChecksumStart;
  bool ok_ = true;
};

}  // namespace

std::size_t encoded_bytes(const Snapshot& s) noexcept {
  return frame::kHeaderBytes + 5 * frame::kSectionBytes + frame::kInfoBytes +
         frame::kCountersBytes + s.classes.count * frame::kClassBytes +
         s.map.count * frame::kGroupBytes + s.large.count * frame::kLargeBytes +
         frame::kTrailerBytes;
}

bool encode(const Snapshot& s, const FrameSink& sink) noexcept {
  Writer out(sink);
  const auto number = [&out](auto field) noexcept { out.number(field); };

  out.text(frame::kMagic, sizeof(frame::kMagic));
  out.number(frame::kVersion);
  out.number(std::uint32_t{5});
  out.number(std::uint64_t{encoded_bytes(s)});

  out.section(frame::kInfo, frame::kInfoBytes, 1);
  out.text(s.library_version.data(), s.library_version.size());
  out.section(frame::kCounters, frame::kCountersBytes, 1);
  frame::visit_counters(s.counters, number);
  out.section(frame::kClasses, frame::kClassBytes, s.classes.count);
  for (const ClassRow& row : s.classes) frame::visit_class(row, number);
  out.section(frame::kMap, frame::kGroupBytes, s.map.count);
  for (const MapGroup& group : s.map) frame::visit_group(group, number);
  out.section(frame::kLarge, frame::kLargeBytes, s.large.count);
  for (const LargeRow& row : s.large) frame::visit_large(row, number);
  return out.finish();
}

}  // namespace ream::inspect
