// The cases of the `lifecycle` program: moments of a process's life at which allocation must work.
#pragma once

namespace lifecycle {

// Ends the program with a message unless the condition holds. Works in every moment of life.
#define LIFECYCLE_REQUIRE(condition) \
  ((condition) ? void(0) : ::lifecycle::failed(#condition, __FILE__, __LINE__))

[[noreturn]] void failed(const char* condition, const char* file, int line);

// Allocates with many entry points, checks and frees: what each case does at its moment.
void exercise();

// Each returns the status that the program shall end with (most: 0).
int before_main();
int at_exit();
int tls_destructors();
int main_thread_leaves();
int vfork_exec();
int blocks_outlive_threads();
int thousand_threads();
int cancel();
int signals();
int small_stacks();
int exit_while_running();
int quick_exit_handlers();
int dlopen_late(const char* library);

}  // namespace lifecycle
