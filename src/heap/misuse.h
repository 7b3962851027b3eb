// What a pointer given by the program really is; and the end of the program when it is not what the
// caller may pass. The texts are stable.
//
// Thread safety: all; nothing here locks or allocates. A pointer that another thread frees at the
// same moment may be reported as either.
#pragma once

#include <cstdint>

#include "base/annotate.h"
#include "span/page_map.h"
#include "span/span.h"

namespace ream {

class PageHeap;

// The messages of one entry point.
struct MisuseTexts {
  const char* freed;     // the object is free already
  const char* interior;  // inside an object or between objects
  const char* foreign;   // no memory of this heap
};

inline constexpr MisuseTexts kFreeTexts{"double free", "free of an interior pointer",
                                        "free of a foreign pointer"};
inline constexpr MisuseTexts kReallocTexts{
    "realloc of a freed pointer", "realloc of an interior pointer", "realloc of a foreign pointer"};
inline constexpr MisuseTexts kUsableTexts{"malloc_usable_size of a freed pointer",
                                          "malloc_usable_size of an interior pointer",
                                          "malloc_usable_size of a foreign pointer"};

// Of functions that name a sub-heap, beside those above.
inline constexpr const char* kFreeInOther = "free of an object of another heap";
inline constexpr const char* kReallocInOther = "realloc of an object of another heap";

struct LiveObject {
  Span* span;
  std::uint8_t* state;
  void* address;
};

// The live object that begins at `address`; for anything else ends the program with one of `texts`.
[[nodiscard]] LiveObject live_object(const PageHeap& heap, const void* address,
                                     const MisuseTexts& texts) noexcept;

}  // namespace ream
