// What the heap hands to its page allocators: metadata memory, purging and the clock of the OS.
//
// Thread safety: a constant.
#pragma once

#include "page/environment.h"

namespace ream {

[[nodiscard]] const page::Environment& page_environment() noexcept;

}  // namespace ream
