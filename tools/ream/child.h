// Runs a program as a child that looks, from outside, as if this command were the program: it has
// its standard streams, gets the signals that are sent to the command, and its end is told as wait4
// does.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "report.h"

namespace ream::tool {

struct ChildResult {
  int exec_errno = 0;  // not 0: the program did not start
  Ending ending;
};

// `prepare` runs in the child just before the program, to set its environment. SIGINT, SIGQUIT,
// SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 that processes send here go on to the child; the ones that a
// terminal sends reach both anyway and are left to the child. Ends the command when it cannot fork.
ChildResult run_child(const std::string& path, const std::vector<std::string>& arguments,
                      const std::function<void()>& prepare);

// Replaces this process. Returns the errno when it cannot.
int exec_program(const std::string& path, const std::vector<std::string>& arguments);

// Ends this process as the child ended: with its exit status, or by the same signal.
[[noreturn]] void end_like(int status);

}  // namespace ream::tool
