#include "block.h"

#include <dlfcn.h>
#include <malloc.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace stress {
namespace {

// Blocks up to this size are checked byte for byte, larger ones at both ends and on every page.
constexpr std::size_t kWholeBytes = 16 << 10;
constexpr std::size_t kEndBytes = 512;
constexpr std::size_t kStepBytes = 4096;

// C23's frees, where the library has them.
using FreeSized = void (*)(void*, std::size_t);
using FreeAlignedSized = void (*)(void*, std::size_t, std::size_t);
const auto g_free_sized = reinterpret_cast<FreeSized>(dlsym(RTLD_DEFAULT, "free_sized"));
const auto g_free_aligned_sized =
    reinterpret_cast<FreeAlignedSized>(dlsym(RTLD_DEFAULT, "free_aligned_sized"));

unsigned char pattern_byte(std::uint64_t pattern, std::size_t at) {
  return static_cast<unsigned char>((pattern + at * 0x9e3779b97f4a7c15u) >> 32);
}

// Calls visit(first, last) for the parts of the block that are filled and checked.
template <typename Visit>
void for_parts(std::size_t bytes, bool whole, Visit visit) {
  if (whole || bytes <= kWholeBytes) {
    visit(std::size_t{0}, bytes);
    return;
  }
  visit(std::size_t{0}, kEndBytes);
  for (std::size_t at = kStepBytes; at + 8 < bytes - kEndBytes; at += kStepBytes) visit(at, at + 8);
  visit(bytes - kEndBytes, bytes);
}

void fill(Block& block, Random& random) {
  block.pattern = random.next();
  // The whole is written, so that a later check may choose; a block of 8 MiB costs a millisecond.
  for (std::size_t i = 0; i < block.usable; ++i) block.bytes[i] = pattern_byte(block.pattern, i);
}

void check_range(const Block& block, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) {
    if (block.bytes[i] == pattern_byte(block.pattern, i)) continue;
    fail("byte %zu of the block at %p (%zu asked, %zu usable, source %d) is %02x, not %02x", i,
         static_cast<const void*>(block.bytes), block.requested, block.usable,
         static_cast<int>(block.source), block.bytes[i], pattern_byte(block.pattern, i));
  }
}

bool from_new(Source source) { return source >= Source::kNew; }

std::size_t random_alignment(Random& random) {
  // Mostly small, sometimes up to 4 MiB.
  return std::size_t{8} << (random.below(8) == 0 ? random.below(20) : random.below(7));
}

// The memory itself; sets block's alignment.
void* allocate(Block& block, std::size_t n, Random& random) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* p = nullptr;
  switch (block.source) {
    case Source::kMalloc:
      return std::malloc(n);
    case Source::kCalloc: {
      const std::size_t each = 1 + random.below(3);
      return std::calloc((n + each - 1) / each, each);
    }
    case Source::kAlignedAlloc:
      block.alignment = random_alignment(random);
      return std::aligned_alloc(block.alignment, n);
    case Source::kPosixMemalign:
      block.alignment = random_alignment(random);
      return posix_memalign(&p, block.alignment, n) == 0 ? p : nullptr;
    case Source::kMemalign:
      block.alignment = random_alignment(random);
      return memalign(block.alignment, n);
    case Source::kValloc:
      block.alignment = page;
      return valloc(n);
    case Source::kPvalloc:
      block.alignment = page;
      return pvalloc(n);
    case Source::kReallocarray:
      return reallocarray(nullptr, n / 2 + 1, 2);
    case Source::kNew:
      return ::operator new(n);
    case Source::kNewArray:
      return ::operator new[](n);
    case Source::kNewNothrow:
      return ::operator new(n, std::nothrow);
    case Source::kNewAligned:
      block.alignment = random_alignment(random);
      return ::operator new(n, std::align_val_t{block.alignment});
    case Source::kNewArrayAligned:
      block.alignment = random_alignment(random);
      return ::operator new[](n, std::align_val_t{block.alignment});
    case Source::kNewAlignedNothrow:
      block.alignment = random_alignment(random);
      return ::operator new(n, std::align_val_t{block.alignment}, std::nothrow);
    case Source::kCount:
      break;
  }
  fail("no such source");
}

// How much of a block its owner may use. Blocks of operator new: what was asked for.
std::size_t usable_bytes(const Block& block) {
  if (from_new(block.source)) return block.requested;
  const std::size_t usable = malloc_usable_size(block.bytes);
  if (usable < block.requested) {
    fail("malloc_usable_size(%p) is %zu, less than the %zu asked for",
         static_cast<const void*>(block.bytes), usable, block.requested);
  }
  return usable;
}

}  // namespace

std::uint64_t Random::next() {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::size_t Random::size(std::size_t limit) {
  const auto bits = static_cast<unsigned>(64 - __builtin_clzll(limit | 1));
  const std::size_t top = std::size_t{1} << below(bits + 1);
  const std::size_t n = top / 2 + below(top - top / 2);
  return n < limit ? n : limit;
}

void fail(const char* format, ...) {
  // On the stack and by write(2): the allocator may be in ruins.
  char text[512];
  std::va_list arguments;
  va_start(arguments, format);
  int length = std::vsnprintf(text, sizeof(text) - 1, format, arguments);
  va_end(arguments);
  if (length > static_cast<int>(sizeof(text)) - 2) length = sizeof(text) - 2;
  text[length++] = '\n';
  if (write(STDERR_FILENO, text, static_cast<std::size_t>(length)) < 0) _exit(3);
  std::abort();
}

Block take_block(Random& random, std::size_t limit) {
  Block block;
  block.source = static_cast<Source>(random.below(static_cast<std::uint64_t>(Source::kCount)));
  block.requested = random.size(limit);
  block.bytes = static_cast<unsigned char*>(allocate(block, block.requested, random));
  if (block.bytes == nullptr) {
    fail("no memory: %zu bytes, alignment %zu, source %d, errno %d", block.requested,
         block.alignment, static_cast<int>(block.source), errno);
  }
  const std::size_t least = block.alignment > 16 || block.requested < 16 ? block.alignment : 16;
  if (reinterpret_cast<std::uintptr_t>(block.bytes) % least != 0) {
    fail("%p is not aligned to %zu (%zu bytes, source %d)", static_cast<void*>(block.bytes), least,
         block.requested, static_cast<int>(block.source));
  }
  block.usable = usable_bytes(block);
  if (block.source == Source::kCalloc) {
    for (std::size_t i = 0; i < block.requested; ++i) {
      if (block.bytes[i] != 0) {
        fail("calloc(%zu): byte %zu is %02x", block.requested, i, block.bytes[i]);
      }
    }
  }
  fill(block, random);
  return block;
}

void resize_block(Block& block, Random& random, std::size_t limit) {
  if (from_new(block.source)) return;
  std::size_t n = random.size(limit);
  // Half of the time a small step, as a vector or a string that grows takes.
  if (random.below(2) == 0) n = block.requested + block.requested / 2 + random.below(64);
  if (n == 0 || n > limit) n = 1 + random.below(limit);
  const std::size_t kept = n < block.usable ? n : block.usable;
  check_block(block, false);
  void* p = random.below(2) == 0 ? std::realloc(block.bytes, n) : reallocarray(block.bytes, 1, n);
  if (p == nullptr) fail("no memory: realloc from %zu to %zu bytes", block.requested, n);
  const Block before = block;
  block.bytes = static_cast<unsigned char*>(p);
  block.requested = n;
  block.usable = usable_bytes(block);
  block.alignment = 1;  // realloc promises no more than malloc
  block.source = Source::kMalloc;
  Block common = before;
  common.bytes = block.bytes;
  common.usable = kept;
  check_block(common, kept <= kWholeBytes);
  fill(block, random);
}

void check_block(const Block& block, bool whole) {
  for_parts(block.usable, whole,
            [&block](std::size_t first, std::size_t last) { check_range(block, first, last); });
}

void free_block(Block& block, Random& random) {
  check_block(block, random.below(16) == 0);
  const auto alignment = std::align_val_t{block.alignment};
  switch (block.source) {
    case Source::kMalloc:
    case Source::kCalloc:
      if (g_free_sized != nullptr && random.below(2) == 0) {
        g_free_sized(block.bytes, block.requested);
      } else {
        std::free(block.bytes);
      }
      break;
    case Source::kAlignedAlloc:
      if (g_free_aligned_sized != nullptr && random.below(2) == 0) {
        g_free_aligned_sized(block.bytes, block.alignment, block.requested);
      } else {
        std::free(block.bytes);
      }
      break;
    case Source::kNew:
    case Source::kNewNothrow:
      if (random.below(2) == 0) {
        ::operator delete(block.bytes, block.requested);
      } else {
        ::operator delete(block.bytes);
      }
      break;
    case Source::kNewArray:
      if (random.below(2) == 0) {
        ::operator delete[](block.bytes, block.requested);
      } else {
        ::operator delete[](block.bytes);
      }
      break;
    case Source::kNewAligned:
    case Source::kNewAlignedNothrow:
      if (random.below(2) == 0) {
        ::operator delete(block.bytes, block.requested, alignment);
      } else {
        ::operator delete(block.bytes, alignment);
      }
      break;
    case Source::kNewArrayAligned:
      if (random.below(2) == 0) {
        ::operator delete[](block.bytes, block.requested, alignment);
      } else {
        ::operator delete[](block.bytes, alignment, std::nothrow);
      }
      break;
    default:
      std::free(block.bytes);
  }
  block.bytes = nullptr;
}

}  // namespace stress
