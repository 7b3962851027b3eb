// Stamped blocks, touching and threads; see support.h.

#include "support.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

namespace bench {

namespace {

constexpr std::size_t kStampBytes = sizeof(std::uint64_t);

std::uint64_t stamp_of(const Block& block) {
  return (static_cast<std::uint64_t>(block.tag) << 32 | block.bytes) * 0x9e3779b97f4a7c15u;
}

}  // namespace

void die(const char* what) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
  std::_Exit(1);
}

Block stamp_block(void* data, std::size_t bytes, std::uint32_t tag) {
  Block block{static_cast<unsigned char*>(data), static_cast<std::uint32_t>(bytes), tag};
  const std::uint64_t stamp = stamp_of(block);
  std::memcpy(block.data, &stamp, kStampBytes);
  std::memcpy(block.data + bytes - kStampBytes, &stamp, kStampBytes);
  return block;
}

std::uint64_t check_block(const Block& block) {
  const std::uint64_t stamp = stamp_of(block);
  std::uint64_t first;
  std::uint64_t last;
  std::memcpy(&first, block.data, kStampBytes);
  std::memcpy(&last, block.data + block.bytes - kStampBytes, kStampBytes);
  if (first != stamp || last != stamp) [[unlikely]] {
    die("a block's contents changed while it was in use");
  }
  return stamp >> 32;
}

Block make_block(std::size_t bytes, std::uint32_t tag) {
  return stamp_block(must_malloc(bytes), bytes, tag);
}

std::uint64_t drop_block(Block& block) {
  if (block.data == nullptr) {
    return 0;
  }
  const std::uint64_t mixed = check_block(block);
  std::free(block.data);
  block = Block{};
  return mixed;
}

void touch_pages(void* p, std::size_t bytes) {
  auto* const data = static_cast<volatile unsigned char*>(p);
  for (std::size_t at = 0; at < bytes; at += kOsPageBytes) {
    data[at] = static_cast<unsigned char>(at >> 12);
  }
}

void run_threads(unsigned count, const std::function<void(unsigned)>& body) {
  std::vector<std::thread> running;
  running.reserve(count);
  for (unsigned i = 0; i < count; ++i) {
    running.emplace_back(body, i);
  }
  for (std::thread& thread : running) {
    thread.join();
  }
}

}  // namespace bench
