// What the library shows to the world: C names with default visibility, everything else is hidden.
#pragma once

#define REAM_EXPORT extern "C" [[gnu::visibility("default")]]
