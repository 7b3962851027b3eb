// What the command says about itself: one line on stderr that begins with "ream:". Its own failures
// end it with these statuses; others come from the program that it runs.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <utility>

namespace ream::tool {

inline constexpr int kFailed = 1;       // map and show: it could not be done
inline constexpr int kBadUse = 2;       // the command line is wrong
inline constexpr int kRunFailed = 125;  // run: something but the program itself failed
inline constexpr int kCannotRun = 126;  // run: the program cannot be executed
inline constexpr int kNotFound = 127;   // run: there is no such program

template <class... Args>
void say(fmt::format_string<Args...> text, Args&&... args) {
  fmt::print(stderr, "ream: {}\n", fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace ream::tool
