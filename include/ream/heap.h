// Heaps with budgets for C++: a ream_heap (ream.h) that ends with its scope, and what gives its
// memory to containers. docs/heaps.md is the guide.
//
//   #include <ream/heap.h>
//
//   #include <cstdio>
//   #include <map>
//   #include <memory_resource>
//   #include <string>
//   #include <vector>
//
//   int main() {
//     ream::heap query("query 17", 64 << 20);  // of at most 64 MiB
//     ream::heap_resource memory(query);
//     std::pmr::map<int, std::pmr::string> names(&memory);
//     names[1] = "a string too long to lie within its own object";
//     std::vector<int, ream::allocator<int>> numbers(1000, 7, query);
//     try {
//       numbers.resize(100'000'000);
//     } catch (const std::bad_alloc&) {
//       std::printf("%zu numbers, in %zu bytes at most\n", numbers.size(), query.budget());
//     }
//     // The containers end first, then all that the heap still holds.
//   }
//
// Declare a heap before the containers that use it: they end before it then. Where containers hold
// nothing but memory (no destructor that matters), they need not end at all: destroying the heap
// frees what they hold.
//
// Errors: functions that allocate throw std::bad_alloc at the budget and without memory, but for
// the try_ ones, which return null. Misuse ends the program, as in C.
//
// Thread safety: all functions of one heap in any thread, but construction, destruction, moving and
// swapping of the object itself. Objects may be freed in another thread than allocated them.
//
// Needs libream.so or libream.a in the program, C++17, exceptions and RTTI; no headers but those
// of the standard library.
#pragma once

#include <ream/ream.h>

#include <cstddef>
#include <limits>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>

namespace ream {

class heap {
 public:
  // As ream_heap_create. Throws std::bad_alloc when there is no memory.
  explicit heap(const char* name = nullptr, std::size_t budget_bytes = 0)
      : heap_(ream_heap_create(name, budget_bytes)) {
    if (heap_ == nullptr) throw std::bad_alloc();
  }
  // Takes over one that was created in C.
  explicit heap(ream_heap* created) noexcept : heap_(created) {}

  heap(heap&& other) noexcept : heap_(std::exchange(other.heap_, nullptr)) {}
  heap& operator=(heap&& other) noexcept {
    if (this != &other)
      ream_heap_destroy(std::exchange(heap_, std::exchange(other.heap_, nullptr)));
    return *this;
  }
  heap(const heap&) = delete;
  heap& operator=(const heap&) = delete;

  // Frees all that it holds. One that was moved from holds nothing, and may only be destroyed or
  // assigned to.
  ~heap() { ream_heap_destroy(heap_); }

  // REQUIRES: the alignment is a power of two.
  [[nodiscard]] void* allocate(std::size_t bytes,
                               std::size_t alignment = alignof(std::max_align_t)) {
    void* p = try_allocate(bytes, alignment);
    if (p == nullptr) throw std::bad_alloc();
    return p;
  }
  // Null at the budget or without memory.
  [[nodiscard]] void* try_allocate(std::size_t bytes,
                                   std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (alignment <= alignof(std::max_align_t)) return ream_heap_malloc(heap_, bytes);
    return ream_heap_aligned_alloc(heap_, alignment, bytes);
  }
  // Of this heap; null is nothing.
  void deallocate(void* p) noexcept { ream_heap_free(heap_, p); }

  // Whether the memory at this address is the heap's.
  [[nodiscard]] bool owns(const void* p) const noexcept {
    return heap_ != nullptr && ream_heap_of(const_cast<void*>(p)) == heap_;
  }

  [[nodiscard]] const char* name() const noexcept { return ream_heap_name(heap_); }
  // In bytes; 0 is none.
  [[nodiscard]] std::size_t budget() const noexcept { return ream_heap_get_budget(heap_); }
  void set_budget(std::size_t budget_bytes) noexcept { ream_heap_set_budget(heap_, budget_bytes); }
  // What counts against the budget, in bytes, and the most that it has been.
  [[nodiscard]] std::size_t memory_in_use() const noexcept {
    return ream_heap_memory_in_use(heap_);
  }
  [[nodiscard]] std::size_t peak_memory() const noexcept { return ream_heap_peak_memory(heap_); }

  // For the functions of C.
  [[nodiscard]] ream_heap* get() const noexcept { return heap_; }
  // The caller destroys it now.
  [[nodiscard]] ream_heap* release() noexcept { return std::exchange(heap_, nullptr); }

 private:
  ream_heap* heap_;
};

// A heap as what containers of std::pmr take. It refers to the heap, which must outlive it; equal
// to another one of the same heap.
class heap_resource final : public std::pmr::memory_resource {
 public:
  explicit heap_resource(const heap& from) noexcept : heap_(from.get()) {}
  explicit heap_resource(ream_heap* from) noexcept : heap_(from) {}

  [[nodiscard]] ream_heap* get() const noexcept { return heap_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* p = alignment <= alignof(std::max_align_t)
                  ? ream_heap_malloc(heap_, bytes)
                  : ream_heap_aligned_alloc(heap_, alignment, bytes);
    if (p == nullptr) throw std::bad_alloc();
    return p;
  }
  void do_deallocate(void* p, std::size_t, std::size_t) override { ream_heap_free(heap_, p); }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    const auto* same = dynamic_cast<const heap_resource*>(&other);
    return same != nullptr && same->heap_ == heap_;
  }

  ream_heap* heap_;
};

// A heap as the allocator of a container. Refers to it: a pointer. A copy of a container uses the
// same heap; moving and swapping containers of different heaps takes the heaps along, and so never
// moves elements one by one.
template <class T>
class allocator {
 public:
  using value_type = T;
  using propagate_on_container_copy_assignment = std::false_type;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;
  using is_always_equal = std::false_type;

  allocator(const heap& from) noexcept : heap_(from.get()) {}  // NOLINT: a heap is what it takes
  explicit allocator(ream_heap* from) noexcept : heap_(from) {}
  template <class U>
  allocator(const allocator<U>& other) noexcept : heap_(other.get()) {}  // NOLINT: as all do

  [[nodiscard]] T* allocate(std::size_t count) {
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(T))
      throw std::bad_array_new_length();
    const std::size_t bytes = count * sizeof(T);
    void* p = alignof(T) <= alignof(std::max_align_t)
                  ? ream_heap_malloc(heap_, bytes)
                  : ream_heap_aligned_alloc(heap_, alignof(T), bytes);
    if (p == nullptr) throw std::bad_alloc();
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t) noexcept { ream_heap_free(heap_, p); }

  [[nodiscard]] ream_heap* get() const noexcept { return heap_; }

  template <class U>
  friend bool operator==(const allocator& a, const allocator<U>& b) noexcept {
    return a.get() == b.get();
  }
  template <class U>
  friend bool operator!=(const allocator& a, const allocator<U>& b) noexcept {
    return a.get() != b.get();
  }

 private:
  ream_heap* heap_;
};

}  // namespace ream
