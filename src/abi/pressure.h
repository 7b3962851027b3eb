// Pressure callbacks as the C API has them, and as the heap's tables hold them.
//
// Thread safety: plain functions.
#pragma once

#include <ream/ream.h>

#include "heap/pressure_callbacks.h"

namespace ream {

static_assert(static_cast<int>(PressureLevel::kSoft) == REAM_PRESSURE_SOFT);
static_assert(static_cast<int>(PressureLevel::kHard) == REAM_PRESSURE_HARD);

inline PressureCallbacks::Callback::Function untyped(ream_pressure_callback callback) noexcept {
  return reinterpret_cast<PressureCallbacks::Callback::Function>(callback);
}

inline PressureCallbacks::Callback to_callback(ream_pressure_callback callback,
                                               void* arg) noexcept {
  const auto invoke = [](PressureCallbacks::Callback::Function function, PressureLevel level,
                         Bytes wanted, void* its_arg) {
    reinterpret_cast<ream_pressure_callback>(function)(static_cast<ream_pressure>(level), wanted.n,
                                                       its_arg);
  };
  return {invoke, untyped(callback), arg};
}

}  // namespace ream
