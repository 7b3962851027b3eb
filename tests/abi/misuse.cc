// misuse CASE: does one wrong thing to the allocator. Prints the address it does it to on stdout
// first (without allocating), then "survived" if the library did not end the program.
// misuse_test.py runs all cases. `misuse --list` prints their names.
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "abi/hide.h"

namespace {

using abi_test::hide;

constexpr std::size_t kMegabyte = 1 << 20;

void say(const char* text, std::size_t length) {
  if (write(STDOUT_FILENO, text, length) < 0) _exit(3);
}

// Announces the address that the next call gets.
void* announce(const void* p) {
  char text[32];
  const int length =
      std::snprintf(text, sizeof(text), "0x%zx\n", reinterpret_cast<std::uintptr_t>(p));
  say(text, static_cast<std::size_t>(length));
  return hide(const_cast<void*>(p));
}

void* offset(void* p, std::ptrdiff_t bytes) {
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(hide(p)) +
                                 static_cast<std::uintptr_t>(bytes));
}

void* address(std::uintptr_t n) { return reinterpret_cast<void*>(n); }

// The ways to hand over a pointer.
using Act = void (*)(void*);
void do_free(void* p) { std::free(announce(p)); }
void do_realloc(void* p) { hide(std::realloc(announce(p), 5000)); }
void do_realloc_zero(void* p) { hide(std::realloc(announce(p), 0)); }
void do_delete(void* p) { ::operator delete(announce(p)); }
void do_usable(void* p) { hide(malloc_usable_size(announce(p))); }

void* thread_free(void* p) {
  std::free(p);
  return nullptr;
}

void free_in_thread(void* p) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, thread_free, p) != 0) _exit(3);
  pthread_join(thread, nullptr);
}

char g_static_bytes[8192];

// Pointers that the allocator never gave out. Each is passed to an Act.
void* from_stack() {
  static void* p;
  char here[64];
  p = hide(here);
  return p;
}

void* from_mmap() {
  return mmap(nullptr, kMegabyte, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void* of_unmapped_page() {
  void* p = from_mmap();
  munmap(p, kMegabyte);
  return p;
}

// Pointers to the middle of what it gave out.
void* small_plus_one() { return offset(std::malloc(100), 1); }
void* small_plus_16() { return offset(std::malloc(100), 16); }
void* small_last_byte() {
  void* p = hide(std::malloc(1000));
  return offset(p, static_cast<std::ptrdiff_t>(malloc_usable_size(p)) - 1);
}
void* large_plus_16() { return offset(std::malloc(kMegabyte), 16); }
void* large_plus_page() { return offset(std::malloc(kMegabyte), 8192); }
void* huge_middle() { return offset(std::malloc(64 * kMegabyte), 32 * kMegabyte); }
void* aligned_interior() { return offset(memalign(kMegabyte, 2 * kMegabyte), kMegabyte); }

// Pointers already freed.
void* freed(std::size_t bytes) {
  void* p = hide(std::malloc(bytes));
  std::free(p);
  return hide(p);
}
void* freed_small() { return freed(100); }
void* freed_tiny() { return freed(1); }
void* freed_zero() { return freed(0); }
void* freed_30k() { return freed(30000); }
void* freed_100k() { return freed(100000); }
void* freed_large() { return freed(kMegabyte); }
void* freed_huge() { return freed(64 * kMegabyte); }
void* freed_aligned() {
  void* p = hide(memalign(4096, 5000));
  std::free(p);
  return hide(p);
}
void* freed_by_delete() {
  void* p = hide(::operator new(200));
  ::operator delete(p);
  return hide(p);
}
void* freed_by_realloc() {
  void* p = hide(std::malloc(100));
  void* q = hide(std::realloc(p, 100000));
  if (p == q) _exit(3);
  return hide(p);
}

void* freed_and_buried() {
  void* p[101];
  for (void*& one : p) one = hide(std::malloc(100));
  for (void* one : p) std::free(one);
  return hide(p[0]);
}

void* freed_and_flushed() {
  static void* p[20000];
  for (void*& one : p) one = hide(std::malloc(100));
  for (void* one : p) std::free(one);
  return hide(p[7]);
}

// Flushed, but the span stays in use: every tenth block lives.
void* freed_in_sparse_span() {
  static void* p[20000];
  for (void*& one : p) one = hide(std::malloc(100));
  for (int i = 0; i < 20000; ++i) {
    if (i % 10 != 0) std::free(p[i]);
  }
  return hide(p[5001]);
}

void* freed_by_thread() {
  void* p = hide(std::malloc(100));
  free_in_thread(p);
  return hide(p);
}

void* freed_large_by_thread() {
  void* p = hide(std::malloc(3 * kMegabyte));
  free_in_thread(p);
  return hide(p);
}

void* freed_and_trimmed() {
  void* p = hide(std::malloc(100));
  void* q = hide(std::malloc(kMegabyte));
  std::free(p);
  std::free(q);
  malloc_trim(0);
  return hide(p);
}

struct Pointer {
  const char* name;
  const char* kind;  // "freed", "interior" or "foreign"
  void* (*make)();
};

constexpr Pointer kPointers[] = {
    {"small", "freed", freed_small},
    {"tiny", "freed", freed_tiny},
    {"zero", "freed", freed_zero},
    {"30k", "freed", freed_30k},
    {"100k", "freed", freed_100k},
    {"large", "freed", freed_large},
    {"huge", "freed", freed_huge},
    {"aligned", "freed", freed_aligned},
    {"by_delete", "freed", freed_by_delete},
    {"by_realloc", "freed", freed_by_realloc},
    {"buried", "freed", freed_and_buried},
    {"flushed", "freed", freed_and_flushed},
    {"in_sparse_span", "freed", freed_in_sparse_span},
    {"by_thread", "freed", freed_by_thread},
    {"large_by_thread", "freed", freed_large_by_thread},
    {"trimmed", "freed", freed_and_trimmed},
    {"small_plus_one", "interior", small_plus_one},
    {"small_plus_16", "interior", small_plus_16},
    {"small_last_byte", "interior", small_last_byte},
    {"large_plus_16", "interior", large_plus_16},
    {"large_plus_page", "interior", large_plus_page},
    {"huge_middle", "interior", huge_middle},
    {"aligned_interior", "interior", aligned_interior},
    {"static", "foreign", [] { return static_cast<void*>(g_static_bytes + 64); }},
    {"code", "foreign", [] { return reinterpret_cast<void*>(&do_free); }},
    {"stack", "foreign", from_stack},
    {"mmap", "foreign", from_mmap},
    {"unmapped", "foreign", of_unmapped_page},
    {"one", "foreign", [] { return address(1); }},
    {"first_page", "foreign", [] { return address(4096 + 16); }},
    {"misaligned", "foreign", [] { return address(0x123456789abd); }},
    {"top_of_user_space", "foreign", [] { return address(0x7ffffffff000); }},
    {"non_canonical", "foreign", [] { return address(0x0000800000000000); }},
    {"non_canonical_pattern", "foreign", [] { return address(0xdeadbeefdeadbee0); }},
    {"kernel", "foreign", [] { return address(0xffff888000000000); }},
    {"last", "foreign", [] { return address(UINTPTR_MAX); }},
};

struct Action {
  const char* name;
  Act act;
};

constexpr Action kActions[] = {{"free", do_free},
                               {"delete", do_delete},
                               {"realloc", do_realloc},
                               {"realloc_zero", do_realloc_zero},
                               {"malloc_usable_size", do_usable}};

// C23's function with a size that the block's class cannot hold.
void free_sized_too_large(std::size_t real, std::size_t said) {
  const auto free_sized =
      reinterpret_cast<void (*)(void*, std::size_t)>(dlsym(RTLD_DEFAULT, "free_sized"));
  if (free_sized == nullptr) _exit(3);
  free_sized(announce(std::malloc(real)), said);
}

}  // namespace

int main(int argc, char** argv) {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
    for (const Action& action : kActions) {
      for (const Pointer& pointer : kPointers) {
        std::printf("%s %s %s\n", action.name, pointer.kind, pointer.name);
      }
    }
    return 0;
  }
  if (argc == 4 && std::strcmp(argv[1], "free_sized") == 0) {
    free_sized_too_large(std::strtoul(argv[2], nullptr, 10), std::strtoul(argv[3], nullptr, 10));
    say("survived\n", 9);
    return 0;
  }
  if (argc != 4) return 2;
  for (const Action& action : kActions) {
    if (std::strcmp(argv[1], action.name) != 0) continue;
    for (const Pointer& pointer : kPointers) {
      if (std::strcmp(argv[3], pointer.name) != 0) continue;
      action.act(pointer.make());
      say("survived\n", 9);
      return 0;
    }
  }
  return 2;
}
