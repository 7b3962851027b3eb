// Zeroed memory: calloc of 64 KiB and 1 MiB, of which the program then uses nothing, a little or
// all.
//
// An allocator that clears every time pays for memory the program never looks at; one that knows
// what is zero already does not.

#include "support.h"

namespace bench {
namespace {

// What the program writes into the block before it frees it.
enum class Use { kNothing, kSparse, kAll };

constexpr std::size_t kSparseStride = 16 * kOsPageBytes;

template <std::size_t kBytes, Use kUse, std::uint64_t kCount>
Result zeroed(double scale) {
  Result result;
  const std::uint64_t count = scaled(kCount, scale);
  for (std::uint64_t i = 0; i < count; ++i) {
    auto* const data = static_cast<unsigned char*>(std::calloc(1, kBytes));
    if (data == nullptr) {
      die("out of memory");
    }
    escape(data);
    if constexpr (kUse != Use::kNothing) {
      constexpr std::size_t kStride = kUse == Use::kSparse ? kSparseStride : kOsPageBytes;
      for (std::size_t at = (i * 8) % kOsPageBytes; at < kBytes; at += kStride) {
        if (data[at] != 0) {
          die("calloc returned memory that is not zero");
        }
        data[at] = static_cast<unsigned char>(i | 1);
        result.checksum += data[at];
      }
    }
    escape(data);
    std::free(data);
  }
  result.checksum += count;
  result.ops = 2 * count;
  return result;
}

constexpr Workload kCallocs[] = {
    {"calloc_64k", "calloc(64 KiB) not touched, free", zeroed<64 * kKiB, Use::kNothing, 1'000'000>},
    {"calloc_1m", "calloc(1 MiB) not touched, free", zeroed<kMiB, Use::kNothing, 60'000>},
    {"calloc_64k_sparse", "calloc(64 KiB), one page in 16 written, free",
     zeroed<64 * kKiB, Use::kSparse, 1'000'000>},
    {"calloc_1m_sparse", "calloc(1 MiB), one page in 16 written, free",
     zeroed<kMiB, Use::kSparse, 60'000>},
    {"calloc_1m_full", "calloc(1 MiB), every page written, free", zeroed<kMiB, Use::kAll, 15'000>},
};

}  // namespace

std::span<const Workload> callocs() { return kCallocs; }

}  // namespace bench
