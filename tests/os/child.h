// Runs part of a test in a forked child, for what would change the whole process: limits, locked
// memory, signals, the end itself.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace ream::os {

// The status of a child that runs `body` and exits with its result; as from waitpid.
template <class Body>
int status_of_child(Body body) {
  const pid_t child = ::fork();
  if (child < 0) return -1;
  if (child == 0) ::_exit(body());
  int status = -1;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// What `body` returned in the child; -1 when it did not get so far. 0 is good by convention, and
// other numbers say which step failed.
template <class Body>
int exit_of_child(Body body) {
  const int status = status_of_child(body);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

template <class Body>
int signal_of_child(Body body) {
  const int status = status_of_child(body);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace ream::os
