#include <cstdio>
#include <cstdlib>

int main() {
  void* volatile p = std::malloc(24);
  std::free(p);
  std::puts("still here");
  std::fflush(stdout);
  std::free(p);  // ream names this
}
