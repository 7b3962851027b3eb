// An Environment for tests: metadata from the OS, laid out so that an access outside what was
// committed faults; any call can be told to fail; purges are recorded.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "page/environment.h"

namespace ream::page::test {

class MetadataMemory {
 public:
  MetadataMemory() = default;
  MetadataMemory(const MetadataMemory&) = delete;
  MetadataMemory& operator=(const MetadataMemory&) = delete;
  ~MetadataMemory() {
    for (const auto& [begin, bytes] : reservations_) munmap(begin, bytes);
  }

  [[nodiscard]] Environment environment() noexcept {
    Environment env;
    env.context = this;
    env.reserve = [](void* self, Bytes bytes) noexcept { return of(self).reserve(bytes); };
    env.commit = [](void* self, void* begin, Bytes bytes) noexcept {
      return of(self).commit(begin, bytes);
    };
    env.release = [](void* self, void* begin, Bytes bytes) noexcept {
      of(self).release(begin, bytes);
    };
    env.purge = [](void* self, Addr begin, Bytes bytes) noexcept {
      of(self).purges.emplace_back(begin, bytes);
    };
    env.advise_huge = [](void* self, void*, Bytes, bool on) noexcept {
      ++of(self).advised[on];
      return of(self).allow_huge;
    };
    env.now_ns = [](void* self) noexcept { return of(self).now += of(self).tick; };
    return env;
  }

  // The calls that still succeed; then every one fails.
  std::uint64_t reserves_left = ~0ULL;
  std::uint64_t commits_left = ~0ULL;

  bool allow_huge = true;
  int advised[2] = {0, 0};  // calls for off and on
  std::uint64_t now = 0;
  std::uint64_t tick = 0;
  std::vector<std::pair<Addr, Bytes>> purges;

  std::uint64_t commits = 0;
  std::uint64_t committed_bytes = 0;  // of all calls; a piece committed twice counts twice
  [[nodiscard]] std::size_t reservations() const noexcept { return reservations_.size(); }

 private:
  static MetadataMemory& of(void* self) noexcept { return *static_cast<MetadataMemory*>(self); }

  void* reserve(Bytes bytes) noexcept {
    if (reserves_left == 0) return nullptr;
    --reserves_left;
    void* begin =
        mmap(nullptr, bytes.n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (begin == MAP_FAILED) return nullptr;
    reservations_[begin] = bytes.n;
    return begin;
  }
  bool commit(void* begin, Bytes bytes) noexcept {
    if (commits_left == 0) return false;
    --commits_left;
    ++commits;
    committed_bytes += bytes.n;
    return mprotect(begin, bytes.n, PROT_READ | PROT_WRITE) == 0;
  }
  void release(void* begin, Bytes bytes) noexcept {
    munmap(begin, bytes.n);
    reservations_.erase(begin);
  }

  std::map<void*, std::uint64_t> reservations_;
};

}  // namespace ream::page::test
