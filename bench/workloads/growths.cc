// Growth: blocks that realloc makes larger step by step, and containers that do it by copying.

#include <cstring>
#include <string>
#include <vector>

#include "support.h"

namespace bench {
namespace {

constexpr std::size_t kGrownBytes = 64 * kMiB;

// Grows one block from 64 bytes to 64 MiB, each time to `bytes * numerator / denominator`, writing
// a word into each page of what is new. Checks at the end that every word came along.
Result grow(std::uint64_t rounds, std::size_t numerator, std::size_t denominator) {
  Result result;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::size_t bytes = 64;
    std::size_t written = 0;
    auto* data = static_cast<unsigned char*>(must_malloc(bytes));
    for (;;) {
      for (; written + sizeof written <= bytes; written += kOsPageBytes) {
        const std::uint64_t word = written + round;
        std::memcpy(data + written, &word, sizeof word);
      }
      if (bytes >= kGrownBytes) {
        break;
      }
      bytes = bytes * numerator / denominator;
      data = static_cast<unsigned char*>(std::realloc(data, bytes));
      if (data == nullptr) {
        die("out of memory");
      }
      ++result.ops;
    }
    for (std::size_t at = 0; at < written; at += kOsPageBytes) {
      std::uint64_t word;
      std::memcpy(&word, data + at, sizeof word);
      if (word != at + round) {
        die("realloc lost contents");
      }
      result.checksum += word;
    }
    std::free(data);
  }
  return result;
}

Result realloc_x2(double scale) { return grow(scaled(30, scale), 2, 1); }

Result realloc_x1_1(double scale) { return grow(scaled(15, scale), 11, 10); }

// Buffers of a server: many strings, each appended to in turn, so no one of them can grow into the
// space right behind it for long.
Result grow_strings(double scale) {
  constexpr std::size_t kStrings = 2000;
  constexpr std::size_t kAppends = 1000;
  Rng rng(3);
  Result result;
  const std::uint64_t rounds = scaled(5, scale);
  const std::size_t appends = scale < 1 ? scaled(kAppends, scale) : kAppends;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::vector<std::string> strings(kStrings);
    for (std::size_t i = 0; i < appends; ++i) {
      for (std::string& string : strings) {
        string.append(1 + rng.below(32), static_cast<char>('a' + i % 26));
        ++result.ops;
      }
    }
    for (const std::string& string : strings) {
      result.checksum += string.size() + static_cast<unsigned char>(string[string.size() / 2]);
    }
  }
  return result;
}

// The same with realloc and random order: 1000 buffers that grow and shrink between 16 B and 256
// KiB.
Result realloc_buffers(double scale) {
  constexpr std::size_t kBuffers = 1000;
  Rng rng(4);
  std::vector<unsigned char*> buffers(kBuffers, nullptr);
  Result result;
  result.ops = scaled(600'000, scale);
  for (std::uint64_t i = 0; i < result.ops; ++i) {
    unsigned char*& buffer = buffers[rng.below(kBuffers)];
    const std::size_t bytes = rng.log_between(16, 256 * kKiB);
    const unsigned char first = buffer != nullptr ? buffer[0] : 0;
    auto* const moved = static_cast<unsigned char*>(std::realloc(buffer, bytes));
    if (moved == nullptr) {
      die("out of memory");
    }
    if (buffer != nullptr && moved[0] != first) {
      die("realloc lost contents");
    }
    buffer = moved;
    buffer[0] = static_cast<unsigned char>(first + bytes);
    buffer[bytes - 1] = buffer[0];
    result.checksum += buffer[0];
  }
  for (unsigned char* const buffer : buffers) {
    std::free(buffer);
  }
  return result;
}

// Columns of a table: 200 vectors that grow together to 32 Ki words each.
Result grow_vectors(double scale) {
  constexpr std::size_t kVectors = 200;
  constexpr std::size_t kWords = 32 * kKiB;
  Result result;
  const std::uint64_t rounds = scaled(10, scale);
  const std::size_t words = scale < 1 ? scaled(kWords, scale) : kWords;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::vector<std::vector<std::uint64_t>> vectors(kVectors);
    for (std::size_t i = 0; i < words; ++i) {
      for (std::vector<std::uint64_t>& vector : vectors) {
        vector.push_back(i * round);
      }
    }
    for (const std::vector<std::uint64_t>& vector : vectors) {
      result.checksum += vector[words / 2] + vector.size();
      result.ops += vector.size();
    }
  }
  return result;
}

constexpr Workload kGrowths[] = {
    {"realloc_x2", "realloc doubles one block up to 64 MiB, touched; ops are reallocs", realloc_x2},
    {"realloc_x1_1", "realloc grows one block by a tenth up to 64 MiB, touched", realloc_x1_1},
    {"realloc_buffers", "1000 buffers resized at random between 16 B and 256 KiB", realloc_buffers},
    {"grow_strings", "2000 strings appended to in turn; ops are appends", grow_strings},
    {"grow_vectors", "200 vectors that grow together to 256 KiB; ops are push_backs", grow_vectors},
};

}  // namespace

std::span<const Workload> growths() { return kGrowths; }

}  // namespace bench
