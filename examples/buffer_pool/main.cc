// A database's buffer pool over a memory-mapped file.
//
// The file has more pages than the pool has frames. To read pages [p, p + n) of the file the pool
// takes a run of n frames, the lowest that ream::page finds, and maps that part of the file there,
// so that a scan sees its pages side by side. Where no run is free the buffers used longest ago are
// unmapped until one is. Shared mappings of one file page are the same memory, so buffers may
// overlap, and what was written needs no copying back.
//
//   file     | 0 | 1 | 2 | 3 | 4 | ...                        3000 pages of 16 KiB
//                  \___\___\____________
//   frames   | 7 |   | 1 | 2 | 3 |   | ...                     512 frames: address space
//
// What stands behind a frame goes away with its mapping: there is nothing to purge, and frames are
// freed as FreeKind::kQuiet.
//
// Usage: buffer_pool [FOLDER-FOR-THE-FILE]
#include <fcntl.h>
#include <ream/page.h>
#include <ream/page_os.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace ream::page;

namespace {

// Pages of 16 KiB (every Linux can map at multiples of that but those with 64 KiB pages) in a
// window of 64 GiB whose base is given at run time.
using Frames = Geometry<36, 14, WindowBase::kRunTime, 4, 3, 3, 3>;
constexpr std::uint64_t kPageBytes = Frames::kPageBytes;
constexpr Pages kFrames{512};
constexpr std::uint64_t kFilePages = 3000;

void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(what);
}

// ---- The pool --------------------------------------------------------------------------------

class BufferPool {
 public:
  struct Stats {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t evictions = 0;
    std::uint64_t longest = 0;  // pages of one buffer
  };

  explicit BufferPool(int file) : file_(file) {
    const Bytes region = bytes_of<Frames>(kFrames);
    reserved_ = region + Bytes(Frames::kChunkBytes);
    void* memory = mmap(nullptr, reserved_.n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "no address space for frames");
    reservation_ = Addr(memory);
    const Addr base = chunk_align_up<Frames>(reservation_);

    Environment env = os_environment();
    env.purge = nullptr;
    const InitResult init = frames_.init(env, window_base_for<Frames>(base));
    require(init == InitResult::kOk, reason(init));
    const GrowResult grow = frames_.grow(base, region);
    require(grow == GrowResult::kOk, reason(grow));
  }
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool() {
    frames_.release();
    munmap(reservation_.ptr(), reserved_.n);  // and with it all that is mapped there
  }

  // Pages [first, first + n) of the file, side by side, until unpin(). Throws when pinned buffers
  // leave no run of n frames.
  std::uint64_t* pin(std::uint64_t first, std::uint64_t n) {
    const auto found = buffers_.find({first, n});
    if (found != buffers_.end()) {
      ++stats_.hits;
      by_use_.splice(by_use_.end(), by_use_, found->second);
    } else {
      ++stats_.misses;
      stats_.longest = std::max(stats_.longest, n);
      by_use_.push_back(map(first, n));
      buffers_[{first, n}] = std::prev(by_use_.end());
    }
    Buffer& buffer = by_use_.back();
    ++buffer.pins;
    return static_cast<std::uint64_t*>(buffer.frames.ptr());
  }
  void unpin(std::uint64_t first, std::uint64_t n) { --buffers_.at({first, n})->pins; }

  void evict_all() {
    while (evict_oldest()) {
    }
  }

  [[nodiscard]] const Stats& stats() const { return stats_; }
  [[nodiscard]] const PageAlloc<Frames>& frames() const { return frames_; }

 private:
  struct Buffer {
    std::uint64_t first;
    std::uint64_t pages;
    Addr frames;
    unsigned pins;
  };

  Buffer map(std::uint64_t first, std::uint64_t n) {
    Allocation run = frames_.alloc(Pages(n));
    while (!run) {
      require(evict_oldest(), "all buffers are pinned");
      run = frames_.alloc(Pages(n));
    }
    void* at = mmap(run.base.ptr(), n * kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                    file_, static_cast<off_t>(first * kPageBytes));
    require(at != MAP_FAILED, "mapping the file failed");
    return {first, n, run.base, 0};
  }

  bool evict_oldest() {
    const auto oldest = std::find_if(by_use_.begin(), by_use_.end(),
                                     [](const Buffer& buffer) { return buffer.pins == 0; });
    if (oldest == by_use_.end()) return false;
    void* at = mmap(oldest->frames.ptr(), oldest->pages * kPageBytes, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    require(at != MAP_FAILED, "unmapping failed");
    require(frames_.free(oldest->frames, Pages(oldest->pages), FreeKind::kQuiet), "frames lost");
    buffers_.erase({oldest->first, oldest->pages});
    by_use_.erase(oldest);
    ++stats_.evictions;
    return true;
  }

  int file_;
  Addr reservation_{};
  Bytes reserved_{};
  PageAlloc<Frames> frames_;
  std::list<Buffer> by_use_;  // used longest ago first
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::list<Buffer>::iterator> buffers_;
  Stats stats_;
};

// ---- A database of numbered pages, each with a version and words that follow from both --------

std::uint64_t word_of(std::uint64_t page, std::uint64_t version, std::uint64_t i) {
  return (page * 0x9E3779B97F4A7C15u + version) ^ (i << 32);
}
void write_page(std::uint64_t* page, std::uint64_t number, std::uint64_t version) {
  for (std::uint64_t i = 0; i < kPageBytes / 8; ++i) page[i] = word_of(number, version, i);
}
void verify_page(const std::uint64_t* page, std::uint64_t number, std::uint64_t version) {
  for (std::uint64_t i = 0; i < kPageBytes / 8; ++i) {
    require(page[i] == word_of(number, version, i), "a page has wrong contents");
  }
}

struct Random {
  std::uint64_t state = 1;
  std::uint64_t below(std::uint64_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
  }
};

void work(BufferPool& pool, std::vector<std::uint64_t>& versions) {
  Random random;
  for (int step = 0; step < 8000; ++step) {
    // Most steps read one page, often of the first tenth, and may write it; some scan a long run.
    const bool scan = step % 64 == 63;
    const std::uint64_t n = scan ? 32 + random.below(97) : 1;
    const std::uint64_t reach = random.below(4) == 0 ? kFilePages : kFilePages / 10;
    const std::uint64_t first = random.below((scan ? kFilePages : reach) - n + 1);
    std::uint64_t* pages = pool.pin(first, n);
    for (std::uint64_t i = 0; i < n; ++i) {
      verify_page(pages + i * kPageBytes / 8, first + i, versions[first + i]);
    }
    if (!scan && random.below(4) == 0) write_page(pages, first, ++versions[first]);
    pool.unpin(first, n);
  }
}

int make_file(const std::string& folder) {
  std::string name = folder + "/buffer_pool.XXXXXX";
  const int file = mkstemp(name.data());
  require(file >= 0, "cannot make a file");
  unlink(name.c_str());  // it lives while it is open
  std::vector<std::uint64_t> page(kPageBytes / 8);
  for (std::uint64_t p = 0; p < kFilePages; ++p) {
    write_page(page.data(), p, 0);
    require(write(file, page.data(), kPageBytes) == ssize_t{kPageBytes}, "writing failed");
  }
  return file;
}

void run(const std::string& folder) {
  const int file = make_file(folder);
  std::vector<std::uint64_t> versions(kFilePages);
  BufferPool pool(file);
  work(pool, versions);

  const auto& stats = pool.stats();
  const auto free = pool.frames().free_pages_total().n;
  std::printf("%zu pages of file in %zu frames\n", size_t{kFilePages}, size_t{kFrames.n});
  std::printf("hits %zu, misses %zu, evictions %zu, longest buffer %zu pages\n", size_t{stats.hits},
              size_t{stats.misses}, size_t{stats.evictions}, size_t{stats.longest});
  std::printf("frames in use %zu, free %zu\n", size_t{kFrames.n - free}, size_t{free});

  pool.evict_all();
  require(pool.frames().free_pages_total() == kFrames && pool.frames().is_valid(), "frames lost");
  std::vector<std::uint64_t> page(kPageBytes / 8);
  std::uint64_t written = 0;
  for (std::uint64_t p = 0; p < kFilePages; ++p) {
    const auto offset = static_cast<off_t>(p * kPageBytes);
    require(pread(file, page.data(), kPageBytes, offset) == ssize_t{kPageBytes}, "reading failed");
    verify_page(page.data(), p, versions[p]);
    written += versions[p] > 0;
  }
  std::printf("file verified: %zu pages, %zu of them written to\n", size_t{kFilePages},
              size_t{written});
  close(file);
}

}  // namespace

int main(int argc, char** argv) try {
  const char* folder = std::getenv("TMPDIR");
  run(argc > 1 ? argv[1] : folder != nullptr ? folder : "/tmp");
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "buffer_pool: %s\n", e.what());
  return 1;
}
