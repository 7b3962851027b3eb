// Where libream.so is, and what stands in the way of preloading it into a program.
#pragma once

#include <string>

namespace ream::tool {

// `asked` if it is not empty, else the libream.so beside this command, else in ../lib. An absolute
// path; empty when there is none, and `tried` then names where it was looked for.
std::string find_library(const std::string& asked, std::string& tried);

// The file that execvp would run for `program`: itself if it has a slash, else the first executable
// one in PATH. Empty when there is none.
std::string find_program(const std::string& program);

// Why the dynamic loader will not preload into this program; empty when it will, as far as the file
// tells.
std::string preload_obstacle(const std::string& path);

}  // namespace ream::tool
