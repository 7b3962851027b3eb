// The picture of a heap: one character a cell, a cell a group of pages, a row a stretch of
// addresses. Rows without grown memory are left out.
#pragma once

#include <cstdint>
#include <string>

#include "inspect/snapshot.h"
#include "terminal.h"

namespace ream::tool {

// What a cell mostly holds.
enum class Cell : std::uint8_t {
  kNone,       // not the heap's
  kScavenged,  // free, given back to the OS
  kFree,       // free, with memory behind it
  kSparse,     // small objects: less than a quarter of the cell is live
  kHalf,       // less than three quarters
  kDense,
  kLargePart,  // large objects: less than half of the cell is live
  kLarge,
};

// The character that stands for a cell where there is no color.
char letter_of(Cell cell);

// The kind of a group of the map. `page_bytes` is the size of a page.
Cell cell_of(const inspect::MapGroup& group, std::uint64_t page_bytes);

// The picture with its legend, lines ended. Empty heaps give one line that says so.
std::string draw_map(const inspect::Snapshot& snapshot, const Display& display);

}  // namespace ream::tool
