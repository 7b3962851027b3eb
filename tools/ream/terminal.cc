#include "terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace ream::tool {
namespace {

bool shows_color(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* term = std::getenv("TERM");
  return isatty(fd) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

unsigned width_of(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const unsigned long n = columns == nullptr ? 0 : std::strtoul(columns, nullptr, 10);
  return n == 0 ? 80 : static_cast<unsigned>(std::min(n, 1000ul));
}

}  // namespace

Display display_of(int fd, Color color) {
  const bool colored = color == Color::kAlways || (color == Color::kAuto && shows_color(fd));
  return {width_of(fd), colored};
}

}  // namespace ream::tool
