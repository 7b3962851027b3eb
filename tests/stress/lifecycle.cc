// lifecycle CASE [ARGUMENT]: runs one case of lifecycle.h. Its last line is "lifecycle CASE: ok";
// some cases end the process in their own way after it. Each is run with the library preloaded, but
// for dlopen_late, whose argument names the library.
#include "lifecycle.h"

#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "block.h"

namespace lifecycle {

void failed(const char* condition, const char* file, int line) {
  stress::fail("lifecycle: %s:%d: %s does not hold", file, line, condition);
}

void exercise() {
  stress::Random random(7);
  stress::Block blocks[64];
  for (stress::Block& block : blocks) block = take_block(random, 64 << 10);
  for (int i = 0; i < 64; i += 3) resize_block(blocks[i], random, 128 << 10);
  for (stress::Block& block : blocks) free_block(block, random);
}

}  // namespace lifecycle

namespace {

struct Case {
  const char* name;
  int (*run)();
};

constexpr Case kCases[] = {
    {"before_main", lifecycle::before_main},
    {"at_exit", lifecycle::at_exit},
    {"tls_destructors", lifecycle::tls_destructors},
    {"main_thread_leaves", lifecycle::main_thread_leaves},
    {"vfork_exec", lifecycle::vfork_exec},
    {"blocks_outlive_threads", lifecycle::blocks_outlive_threads},
    {"thousand_threads", lifecycle::thousand_threads},
    {"cancel", lifecycle::cancel},
    {"signals", lifecycle::signals},
    {"small_stacks", lifecycle::small_stacks},
    {"exit_while_running", lifecycle::exit_while_running},
    {"quick_exit_handlers", lifecycle::quick_exit_handlers},
};

}  // namespace

int main(int argc, char** argv) {
  const char* name = argc > 1 ? argv[1] : "";
  if (std::strcmp(name, "dlopen_late") == 0 && argc == 3) return lifecycle::dlopen_late(argv[2]);
  for (const Case& one : kCases) {
    if (std::strcmp(one.name, name) == 0) return one.run();
  }
  std::fprintf(stderr, "lifecycle: no case '%s'\n", name);
  return 2;
}
