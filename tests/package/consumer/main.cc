// Uses ream::page with an Environment of its own over plain memory, without an operating system.
//
//   consumer           "all is well"
//   consumer break     breaks a promise: a message, and abort
//   consumer hook      the same, with functions of its own in place of both
#include <ream/page.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <typeinfo>

#include "base/bits.h"
#include "page/geometry.h"
#include "second_file.h"

namespace {

using namespace ream::page;
using namespace ream::page::literals;

void* reserve(void* /*context*/, Bytes bytes) noexcept {
  void* p = std::aligned_alloc(4096, ream::round_up(bytes.n, 4096));
  if (p != nullptr) std::memset(p, 0, bytes.n);
  return p;
}
bool commit(void* /*context*/, void* /*begin*/, Bytes /*bytes*/) noexcept { return true; }
void release(void* /*context*/, void* begin, Bytes /*bytes*/) noexcept { std::free(begin); }

Environment environment() {
  Environment env;
  env.reserve = reserve;
  env.commit = commit;
  env.release = release;
  return env;
}

template <class G>
struct Owner {  // a class with a virtual table, destroyed by an exception
  Owner() {
    const InitResult result = pages.init(environment(), window_base_for<G>(Addr(5'000'000'000)));
    if (result != InitResult::kOk) throw std::runtime_error(reason(result));
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  virtual ~Owner() { pages.release(); }
  PageAlloc<G> pages;
};

template <class G>
bool works(PageAlloc<G>& pages) {
  const Addr base = pages.window().base();
  if (pages.grow(base, 1_B) != GrowResult::kOk) return false;
  if (pages.grow(base, 1_B) != GrowResult::kOverlap) return false;
  const Allocation a = pages.alloc(3_pages);
  const bool ok = a && a.base == base && a.scavenged == bytes_of<G>(3_pages) &&
                  pages.page_state(a.base) == PageState::kInUse &&
                  pages.free_pages_total() == Pages(509) && pages.free(a.base, 3_pages) &&
                  !pages.free(a.base, 3_pages) && pages.scavenge(1_MiB) == bytes_of<G>(3_pages);
  return ok && pages.is_valid();
}

// The same allocator for many threads, each with a lessee.
bool works_shared() {
  using Shared = SharedPages<OwnGeometry, std::mutex>;
  static Shared pages;
  const bool ready = pages.with_lock([](PageAlloc<OwnGeometry>& p) {
    return p.init(environment()) == InitResult::kOk && p.grow(Addr(), 64_MiB) == GrowResult::kOk;
  });
  std::atomic<int> failures{0};
  const auto work = [&failures] {
    Shared::Lessee mine;
    for (int i = 0; i < 1000; ++i) {
      const Allocation a = pages.alloc(mine, 3_pages);
      if (!a || !pages.free(mine, a.base, 3_pages)) ++failures;
    }
    pages.end(mine);
  };
  std::thread other(work);
  work();
  other.join();
  return pages.with_lock([&](PageAlloc<OwnGeometry>& p) {
    const bool whole = p.free_pages_total() == p.total_pages() && p.is_valid();
    p.release();
    return ready && failures == 0 && whole;
  });
}

template <class G>
void destroyed_by_an_exception() {
  const std::unique_ptr<Owner<G>> owner = std::make_unique<Owner<G>>();
  if (typeid(*owner) != typeid(Owner<G>) || !works(owner->pages)) std::abort();
  throw std::logic_error("as planned");
}

void own_sink(const char* text, std::size_t bytes) noexcept {
  std::printf("own sink: %.*s", static_cast<int>(bytes), text);
}
void own_end() noexcept {
  std::fflush(stdout);
  std::_Exit(7);
}

}  // namespace

int main(int argc, char** argv) {
  if (bits_of_the_program() + geometry_of_the_program() != 7) return 1;
  try {
    destroyed_by_an_exception<OwnGeometry>();
  } catch (const std::logic_error&) {
    Owner<Tiny4> compiled_in_the_library;
    Owner<OwnGeometry> compiled_here;
    if (!works(compiled_in_the_library.pages) || !works(compiled_here.pages) ||
        !works_in_second_file(compiled_here.pages) || !works_shared()) {
      return 1;
    }
    if (argc > 1) {
      if (std::strcmp(argv[1], "hook") == 0) {
        set_message_sink(own_sink);
        set_end_program(own_end);
      }
      (void)compiled_here.pages.chunk_of(ChunkIndex{77});  // was never grown
    }
    std::puts("all is well");
    return 0;
  }
  return 1;
}
