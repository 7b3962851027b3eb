// Numbers for people.
#pragma once

#include <cstdint>
#include <string>

namespace ream::tool {

// "123 B", "1.5 KiB", "12.0 MiB": one digit after the point from KiB up.
std::string size_text(std::uint64_t bytes);

// "1,234,567".
std::string count_text(std::uint64_t n);

}  // namespace ream::tool
