// A program in C++ on an installed ream: containers in a heap with a budget.
#include <ream/heap.h>

#include <cstdio>
#include <memory_resource>
#include <string>
#include <vector>

int main() {
  ream::heap heap("request", 1 << 20);
  ream::heap_resource memory(heap);
  std::pmr::vector<std::pmr::string> words(&memory);
  std::vector<int, ream::allocator<int>> numbers(heap);
  try {
    for (int i = 0;; ++i) {
      words.emplace_back(100u, 'x');
      numbers.push_back(i);
    }
  } catch (const std::bad_alloc&) {
  }
  if (numbers.size() < 1000 || !heap.owns(numbers.data()) || !heap.owns(words.back().data()))
    return 1;
  if (heap.peak_memory() > heap.budget()) return 2;
  std::puts("all is well");
}
