#include "span/meta_pool.h"

#include "base/bits.h"
#include "base/check.h"

namespace ream {
namespace {

constexpr Bytes kMappingBytes = 1_MiB;
constexpr Bytes kSmallMappingBytes = 64_KiB;  // where the system has no more

}  // namespace

void* MetaPool::allocate(std::size_t bytes, MapMetadata map) noexcept {
  REAM_CHECK(bytes > 0 && bytes <= kMaxPooledBytes);
  const std::size_t rounded = round_up(bytes, kUnitBytes);
  FreeBlock*& list = free_[rounded / kUnitBytes];
  if (list != nullptr) {
    FreeBlock* block = list;
    list = block->next;
    used_ += Bytes(rounded);
    return block;
  }
  if (end_ - begin_ < rounded) {
    Bytes size = kMappingBytes;
    void* mapping = map(size);
    if (mapping == nullptr) mapping = map(size = kSmallMappingBytes);
    if (mapping == nullptr) return nullptr;
    begin_ = Addr(mapping).n;
    end_ = begin_ + size.n;
    mapped_ += size;
  }
  void* block = Addr(begin_).ptr();
  begin_ += rounded;
  used_ += Bytes(rounded);
  return block;
}

void MetaPool::free(void* block, std::size_t bytes) noexcept {
  const std::size_t rounded = round_up(bytes, kUnitBytes);
  auto* freed = static_cast<FreeBlock*>(block);
  freed->next = free_[rounded / kUnitBytes];
  free_[rounded / kUnitBytes] = freed;
  used_ -= Bytes(rounded);
}

}  // namespace ream
