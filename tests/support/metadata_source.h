// Memory for metadata in tests of the span layer: a function for MetaPool and PageMap that gives
// zeroed memory, can be told to fail, and whose memory is freed with the object.
//
// Thread safety: none; one at a time.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <vector>

#include "base/bits.h"
#include "base/units.h"

namespace ream {

class MetadataSource {
 public:
  MetadataSource() { current() = this; }
  ~MetadataSource() {
    for (void* p : given_) std::free(p);
    current() = nullptr;
  }
  MetadataSource(const MetadataSource&) = delete;
  MetadataSource& operator=(const MetadataSource&) = delete;

  static void* map(Bytes bytes) noexcept {
    MetadataSource& self = *current();
    self.asked.push_back(bytes);
    if (self.calls_left == 0 || bytes > self.largest) return nullptr;
    --self.calls_left;
    const std::size_t size = round_up(bytes.n, kAlignment);
    void* p = std::aligned_alloc(kAlignment, size);
    __builtin_memset(p, 0, size);
    self.given_.push_back(p);
    return p;
  }

  std::size_t calls_left = ~std::size_t{0};  // that succeed
  Bytes largest{~0ULL};                      // what is asked for beyond fails
  std::vector<Bytes> asked;                  // every call

 private:
  static constexpr std::size_t kAlignment = 4096;

  static MetadataSource*& current() {
    static MetadataSource* the_current = nullptr;
    return the_current;
  }

  std::vector<void*> given_;
};

}  // namespace ream
