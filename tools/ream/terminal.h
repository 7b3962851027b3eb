// What the place of output can show.
#pragma once

#include <string>

namespace ream::tool {

enum class Color { kAuto, kAlways, kNever };

struct Display {
  unsigned width = 80;  // characters
  bool color = false;
};

// For text that goes to a file descriptor. Auto means: a terminal that is not dumb, and NO_COLOR is
// not set. The width is the terminal's, else $COLUMNS, else 80.
Display display_of(int fd, Color color);

}  // namespace ream::tool
