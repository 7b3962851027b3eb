#include "page/kernels.h"

namespace ream::page {

constinit std::atomic<const Kernels*> internal::chosen_kernels{&kPortableKernels};

void select_kernels() noexcept {
  if (&kernels() != &kPortableKernels) return;
  for (const Kernels* set : kernel_sets()) {
    if (!set->can_run()) continue;
    internal::chosen_kernels.store(set, std::memory_order_relaxed);
    return;
  }
}

}  // namespace ream::page
