// A block of memory under test: how it was got (so how it may be given back), and a pattern over
// its bytes that no other block has. A byte that changes, a block that overlaps another or a calloc
// that is not zero ends the program with a message.
//
// Thread safety: a Block belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stress {

// The entry points a block can come from; kinds of one group go back the same way.
enum class Source : unsigned char {
  kMalloc,
  kCalloc,
  kAlignedAlloc,
  kPosixMemalign,
  kMemalign,
  kValloc,
  kPvalloc,
  kReallocarray,
  kNew,
  kNewArray,
  kNewNothrow,
  kNewAligned,
  kNewArrayAligned,
  kNewAlignedNothrow,
  kCount,
};

struct Block {
  unsigned char* bytes = nullptr;
  std::size_t requested = 0;
  std::size_t usable = 0;  // bytes that carry the pattern: malloc_usable_size where that is allowed
  std::size_t alignment = 1;
  std::uint64_t pattern = 0;
  Source source = Source::kMalloc;
};

// A small generator of random numbers (splitmix64).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  // Log-uniform in [0, limit], so that every power of two is as likely as the next.
  std::size_t size(std::size_t limit);

 private:
  std::uint64_t state_;
};

// Ends the program with a message.
[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...);

// Takes a block of a random size up to `limit` from a random entry point, checks it and fills it.
// Out of memory ends the program.
Block take_block(Random& random, std::size_t limit);

// Resizes it with realloc or reallocarray; the common bytes must stay. Blocks of operator new stay
// as they are.
void resize_block(Block& block, Random& random, std::size_t limit);

// All that the pattern covers; large blocks by samples unless `whole`.
void check_block(const Block& block, bool whole);

// Checks it and gives it back by one of the ways that fit its source.
void free_block(Block& block, Random& random);

}  // namespace stress
