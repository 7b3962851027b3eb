// What the two files of operator new share.
#pragma once

#include <cstddef>

#define REAM_OPERATOR [[gnu::visibility("default")]]

namespace ream {

// Memory as operator new must find it: asks the new handler again and again. Null when there is no
// memory and no handler. Throws what the handler throws.
[[nodiscard]] void* allocate_with_handler(std::size_t bytes, std::size_t alignment);

}  // namespace ream
