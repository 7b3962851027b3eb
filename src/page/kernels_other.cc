// Architectures for which there is nothing better than the portable kernels. On arm64 those are
// NEON, which every such machine has.
#include "page/kernels.h"

namespace ream::page {

std::span<const Kernels* const> kernel_sets() noexcept {
  static constexpr const Kernels* kSets[] = {&kPortableKernels};
  return kSets;
}

}  // namespace ream::page
