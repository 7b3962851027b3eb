// Contents for objects in tests: in every 512 bytes a word that depends on the object's tag and its
// place, so that a page lost, moved or shared shows.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/units.h"

namespace ream {

class Stamps {
 public:
  // Of the first `bytes` of the object at `base`.
  static void write(void* base, std::uint64_t bytes, std::uint64_t tag) {
    each(base, bytes, [tag](unsigned char* at, std::uint64_t offset) {
      const std::uint64_t word = stamp(tag, offset);
      std::memcpy(at, &word, sizeof(word));
      return true;
    });
  }
  // Whether they are as written, also when since then the object was moved.
  static bool hold(const void* base, std::uint64_t bytes, std::uint64_t tag) {
    return each(const_cast<void*>(base), bytes, [tag](unsigned char* at, std::uint64_t offset) {
      std::uint64_t word = 0;
      std::memcpy(&word, at, sizeof(word));
      return word == stamp(tag, offset);
    });
  }
  static bool all_zero(const void* base, std::uint64_t bytes) {
    const auto* p = static_cast<const unsigned char*>(base);
    return bytes == 0 || (p[0] == 0 && std::memcmp(p, p + 1, bytes - 1) == 0);
  }

 private:
  static constexpr std::uint64_t kStep = 512;

  static std::uint64_t stamp(std::uint64_t tag, std::uint64_t offset) {
    return (tag * 0x9e37'79b9'7f4a'7c15 + offset) | 1;
  }
  // Only whole words within `bytes`: a smaller object is told apart by its first bytes.
  template <class Visit>
  static bool each(void* base, std::uint64_t bytes, Visit visit) {
    auto* p = static_cast<unsigned char*>(base);
    for (std::uint64_t offset = 0; offset + sizeof(std::uint64_t) <= bytes; offset += kStep) {
      if (!visit(p + offset, offset)) return false;
    }
    return true;
  }
};

}  // namespace ream
