#include "child.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "messages.h"

namespace ream::tool {
namespace {

constexpr int kForwarded[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

volatile sig_atomic_t g_child = 0;

// A signal of the terminal went to the whole foreground group, so the child has it already.
void forward(int signal, siginfo_t* info, void*) {
  const int saved = errno;
  if (info->si_code != SI_KERNEL && g_child > 0) kill(g_child, signal);
  errno = saved;
}

sigset_t forwarded_set() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kForwarded) sigaddset(&set, signal);
  return set;
}

// What is ignored (nohup) stays ignored here and in the child.
void install_forwarding() {
  for (const int signal : kForwarded) {
    struct sigaction action{};
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_sigaction = forward;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    action.sa_mask = forwarded_set();
    sigaction(signal, &action, nullptr);
  }
}

[[noreturn]] void fail(const char* what) {
  say("{}: {}", what, std::strerror(errno));
  std::exit(kRunFailed);
}

// The errno that the child sends when exec fails; 0 when the pipe closes by exec.
int read_errno(int fd) {
  int error = 0;
  ssize_t n = 0;
  do {
    n = read(fd, &error, sizeof(error));
  } while (n < 0 && errno == EINTR);
  close(fd);
  return n == sizeof(error) ? error : 0;
}

// Waits until the child has ended; it stays a zombie, so that its number still names it.
void wait_for_end(pid_t child) {
  siginfo_t info;
  while (waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) != 0) {
    if (errno != EINTR) fail("waitid");
  }
}

}  // namespace

int exec_program(const std::string& path, const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execvp(path.c_str(), argv.data());
  return errno;
}

ChildResult run_child(const std::string& path, const std::vector<std::string>& arguments,
                      const std::function<void()>& prepare) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) fail("pipe");
  const sigset_t held = forwarded_set();
  sigset_t before;
  sigprocmask(SIG_BLOCK, &held, &before);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    prepare();
    sigprocmask(SIG_SETMASK, &before, nullptr);
    const int error = exec_program(path, arguments);
    [[maybe_unused]] const ssize_t n = write(pipe_ends[1], &error, sizeof(error));
    _exit(kRunFailed);
  }
  close(pipe_ends[1]);
  g_child = child;
  install_forwarding();
  sigprocmask(SIG_SETMASK, &before, nullptr);

  ChildResult result;
  result.exec_errno = read_errno(pipe_ends[0]);
  wait_for_end(child);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  sigprocmask(SIG_BLOCK, &held, nullptr);  // nothing is sent to a number that may be used again
  g_child = 0;
  wait4(child, &result.ending.status, 0, &result.ending.usage);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  result.ending.seconds = elapsed.count();
  return result;
}

void end_like(int status) {
  std::fflush(nullptr);
  if (WIFEXITED(status)) std::_Exit(WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  const rlimit no_core{};
  setrlimit(RLIMIT_CORE, &no_core);  // the child's own is enough
  signal(number, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, number);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  raise(number);
  std::_Exit(128 + number);
}

}  // namespace ream::tool
