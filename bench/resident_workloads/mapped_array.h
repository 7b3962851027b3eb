// An array straight from the system, so that a workload's notes are no load of the allocator's.
//
// All of it is resident from the start: its bytes() can be subtracted from any later RSS.

#ifndef REAM_BENCH_RESIDENT_WORKLOADS_MAPPED_ARRAY_H_
#define REAM_BENCH_RESIDENT_WORKLOADS_MAPPED_ARRAY_H_

#include <sys/mman.h>

#include <cstddef>
#include <span>
#include <type_traits>

#include "../workloads/support.h"

namespace resident {

template <typename T>
class MappedArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  // Of `count` zeroed elements.
  explicit MappedArray(std::size_t count)
      : count_(count), data_(static_cast<T*>(map(bytes_for(count)))) {}
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  ~MappedArray() { munmap(data_, bytes()); }

  std::span<T> all() { return {data_, count_}; }
  std::size_t bytes() const { return bytes_for(count_); }

  // What an array of `count` elements makes resident.
  static std::size_t bytes_for(std::size_t count) {
    return (count * sizeof(T) + bench::kOsPageBytes - 1) / bench::kOsPageBytes *
           bench::kOsPageBytes;
  }

 private:
  static void* map(std::size_t bytes) {
    void* const p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) {
      bench::die("out of memory for the workload's notes");
    }
    return p;
  }

  std::size_t count_;
  T* data_;
};

}  // namespace resident

#endif  // REAM_BENCH_RESIDENT_WORKLOADS_MAPPED_ARRAY_H_
