#include "draw.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <map>
#include <vector>

#include "sizes.h"

namespace ream::tool {
namespace {

using inspect::MapGroup;
using inspect::Snapshot;

constexpr unsigned kMostRows = 24;
constexpr unsigned kLabelWidth = 16;

struct Look {
  Cell cell;
  char letter;
  const char* color;  // SGR parameters
  const char* meaning;
};

constexpr Look kLooks[] = {
    {Cell::kDense, '#', "30;42", "small objects"},
    {Cell::kHalf, '+', "30;43", "less than 3/4 of it live"},
    {Cell::kSparse, '-', "30;41", "less than 1/4"},
    {Cell::kLarge, 'L', "37;44", "large objects"},
    {Cell::kLargePart, 'l', "30;46", "less than half of it live"},
    {Cell::kFree, '.', "30;47", "free"},
    {Cell::kScavenged, '_', "90", "given back"},
    {Cell::kNone, ' ', "0", "not the heap's"},
};

const Look& look_of(Cell cell) {
  return *std::find_if(std::begin(kLooks), std::end(kLooks),
                       [cell](const Look& look) { return look.cell == cell; });
}

// The map regrouped for drawing: row -> cells.
struct Grid {
  unsigned cell_log = 0;  // pages of a cell
  unsigned row_log = 0;   // cells of a row
  std::map<std::uint64_t, std::vector<MapGroup>> rows;
};

Grid make_grid(const Snapshot& snapshot, unsigned cell_log, unsigned row_log) {
  Grid grid{cell_log, row_log, {}};
  const std::uint64_t columns = std::uint64_t{1} << row_log;
  for (const MapGroup& group : snapshot.map) {
    const std::uint64_t cell = group.first_page >> cell_log;
    auto& row = grid.rows[cell >> row_log];
    row.resize(columns);
    MapGroup& sum = row[cell & (columns - 1)];
    sum.in_use += group.in_use;
    sum.large += group.large;
    sum.free += group.free;
    sum.scavenged += group.scavenged;
    sum.live_bytes += group.live_bytes;
  }
  return grid;
}

Grid fit_grid(const Snapshot& snapshot, unsigned width) {
  const unsigned room = width > kLabelWidth + 8 ? width - kLabelWidth : 8;
  const auto row_log = static_cast<unsigned>(std::bit_width(room)) - 1;
  auto cell_log = static_cast<unsigned>(snapshot.counters.map_log_pages);
  Grid grid = make_grid(snapshot, cell_log, row_log);
  while (grid.rows.size() > kMostRows && cell_log < 40) {
    grid = make_grid(snapshot, ++cell_log, row_log);
  }
  return grid;
}

void append_cells(std::string& out, const std::vector<Cell>& cells, bool color) {
  Cell last = Cell::kNone;
  for (const Cell cell : cells) {
    const Look& look = look_of(cell);
    if (color && cell != last) out += fmt::format("\x1b[0;{}m", look.color);
    out += look.letter;
    last = cell;
  }
  if (color) out += "\x1b[0m";
  while (!out.empty() && out.back() == ' ') out.pop_back();
}

std::string legend(bool color) {
  std::string out = "  ";
  for (const Look& look : kLooks) {
    if (look.cell == Cell::kNone) continue;
    out += color ? fmt::format("\x1b[0;{}m{}\x1b[0m", look.color, look.letter)
                 : std::string(1, look.letter);
    const bool ends_line = look.cell == Cell::kSparse || look.cell == Cell::kScavenged;
    out += fmt::format(" {}{}", look.meaning, ends_line ? "\n  " : "   ");
  }
  return out.substr(0, out.size() - 2);
}

}  // namespace

char letter_of(Cell cell) { return look_of(cell).letter; }

Cell cell_of(const MapGroup& group, std::uint64_t page_bytes) {
  const std::uint64_t grown = std::uint64_t{group.in_use} + group.free + group.scavenged;
  if (grown == 0) return Cell::kNone;
  if (group.in_use == 0) return group.free > group.scavenged ? Cell::kFree : Cell::kScavenged;
  const std::uint64_t bytes = grown * page_bytes;
  if (std::uint64_t{group.large} * 2 > group.in_use)
    return group.live_bytes < bytes / 2 ? Cell::kLargePart : Cell::kLarge;
  if (group.live_bytes < bytes / 4) return Cell::kSparse;
  return group.live_bytes < bytes / 4 * 3 ? Cell::kHalf : Cell::kDense;
}

std::string draw_map(const Snapshot& snapshot, const Display& display) {
  if (snapshot.map.count == 0) return "the heap has no memory yet\n";
  const auto page_shift = static_cast<unsigned>(snapshot.counters.page_shift);
  const Grid grid = fit_grid(snapshot, display.width);
  const std::uint64_t cell_pages = std::uint64_t{1} << grid.cell_log;
  std::string out =
      fmt::format("heap map, one cell = {} page{} ({}), one row = {}\n", count_text(cell_pages),
                  cell_pages == 1 ? "" : "s", size_text(cell_pages << page_shift),
                  size_text(cell_pages << page_shift << grid.row_log));
  std::uint64_t expected = grid.rows.begin()->first;
  for (const auto& [row, groups] : grid.rows) {
    if (row != expected) out += "  ...\n";
    expected = row + 1;
    std::vector<Cell> cells;
    for (const MapGroup& group : groups) cells.push_back(cell_of(group, 1ULL << page_shift));
    out += fmt::format("  {:012x}  ", row << grid.row_log << grid.cell_log << page_shift);
    append_cells(out, cells, display.color);
    out += '\n';
  }
  return out + legend(display.color);
}

}  // namespace ream::tool
