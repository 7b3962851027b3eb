// bench_launch: runs one program with an allocator preloaded and writes what it cost.
//
//   bench_launch REPORT PRELOAD PROGRAM ARGUMENT...
//
// REPORT is a new file for one line of JSON (an existing one is refused, lest a slip in the order
// of arguments overwrite a program), PRELOAD a library or "-". Input and output are inherited.
// Exits with the program's status, or 128 + the signal that ended it.
//
// A process of its own, small and doing nothing else, because the kernel counts what a process held
// before exec as part of its peak RSS: started straight from an interpreter, every program would
// seem to need as much memory as that interpreter.

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

long long now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

long long to_us(const timeval& t) { return t.tv_sec * 1'000'000LL + t.tv_usec; }

[[noreturn]] void run_program(const char* preload, char** argv) {
  // A caller that gives up on a run kills the launcher only.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (std::strcmp(preload, "-") != 0) {
    setenv("LD_PRELOAD", preload, 1);
  }
  execvp(argv[0], argv);
  std::fprintf(stderr, "bench_launch: %s: %s\n", argv[0], std::strerror(errno));
  std::_Exit(127);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: bench_launch REPORT PRELOAD PROGRAM ARGUMENT...\n", stderr);
    return 2;
  }
  const long long start_ns = now_ns();
  const pid_t child = fork();
  if (child == 0) {
    run_program(argv[2], argv + 3);
  }
  int status = 0;
  rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child) {
    std::perror("bench_launch");
    return 2;
  }
  const long long wall_ns = now_ns() - start_ns;
  const int exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  std::FILE* const report = std::fopen(argv[1], "wxe");
  if (report == nullptr) {
    std::perror(argv[1]);
    return 2;
  }
  std::fprintf(report,
               "{\"exit\": %d, \"wall_us\": %lld, \"user_us\": %lld, \"sys_us\": %lld, "
               "\"peak_rss_kib\": %ld, \"minor_faults\": %ld, \"major_faults\": %ld, "
               "\"switches\": %ld}\n",
               exit_code, wall_ns / 1000, to_us(usage.ru_utime), to_us(usage.ru_stime),
               usage.ru_maxrss, usage.ru_minflt, usage.ru_majflt, usage.ru_nvcsw + usage.ru_nivcsw);
  std::fclose(report);
  return exit_code;
}
