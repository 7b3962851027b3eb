// The version of this ream, for programs that see no layer but this one.
//
// Thread safety: a constant.
#pragma once

#include "base/config.h"

namespace ream::inspect {

inline constexpr const char* kReamVersion = kVersion;

}  // namespace ream::inspect
