// How much a test does. Random tests multiply their rounds by this, so that builds with sanitizers
// and walkers, several times slower, take about as long as the fast ones.
#pragma once

#include "base/config.h"

namespace ream {

inline constexpr unsigned kEffort = kDebug ? 1 : 5;

}  // namespace ream
