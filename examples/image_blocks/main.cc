// The blocks of a file system image: numbers, with no memory behind them.
//
//   block     0            1 .. 16        17 .. 12699
//           | superblock | inode table  | data blocks of 4 KiB ...            | past the end |
//   page      in use       in use         in use: of a file; free; scavenged    in use
//
// Block b is page b: its address is b * 4096 in a window that starts at 0. "Scavenged" then means
// that the block is a hole in the image, and the Environment's purge makes it one, as fstrim does.
// Files are lists of extents; an extent is a run from alloc(), and grows in place where
// try_extend() can. The allocator's state is not stored: at mount alloc_range() rebuilds it from
// the extents, and refuses a block that two files claim.
//
// Usage: image_blocks [FOLDER-FOR-THE-IMAGE]
#include <fcntl.h>
#include <ream/page.h>
#include <ream/page_os.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>

using namespace ream::page;

namespace {

// Blocks of 4 KiB, images up to 64 GiB.
using Blocks = Geometry<36, 12, WindowBase::kZero, 3, 3, 3, 3, 3>;
using Allocator = PageAlloc<Blocks>;
constexpr std::uint64_t kBlockBytes = Blocks::kPageBytes;
constexpr std::uint64_t kImageBlocks = 12700;  // no multiple of a chunk
constexpr std::uint64_t kInodes = 256;

void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(what);
}

Addr addr_of(std::uint64_t block) { return Addr(block * kBlockBytes); }
std::uint64_t block_of(Addr a) { return a.n / kBlockBytes; }

struct Extent {
  std::uint32_t first;
  std::uint32_t blocks;
};

// 256 bytes on disk, 16 to a block.
struct Inode {
  std::array<char, 24> name;  // empty: the inode is free
  std::uint32_t blocks;
  std::uint32_t extents;
  std::array<Extent, 28> extent;
};
static_assert(sizeof(Inode) == 256);
constexpr std::uint64_t kFirstData = 1 + kInodes * sizeof(Inode) / kBlockBytes;

using Block = std::array<std::uint64_t, kBlockBytes / 8>;

// ---- The file system -------------------------------------------------------------------------

class FileSystem {
 public:
  // Mounts the image: reads the inodes, and takes the blocks that they name.
  explicit FileSystem(int image) : image_(image) {
    Environment env = os_environment();
    env.context = this;  // the others need none
    env.purge = [](void* self, Addr begin, Bytes bytes) noexcept {
      static_cast<FileSystem*>(self)->punch(begin, bytes);
    };
    const InitResult init = blocks_.init(env);
    require(init == InitResult::kOk, reason(init));
    const GrowResult grow = blocks_.grow(Addr(), Bytes(kImageBlocks * kBlockBytes));
    require(grow == GrowResult::kOk, reason(grow));
    // grow() adds whole chunks: the blocks past the end of the image are nobody's.
    const Pages beyond = blocks_.total_pages() - Pages(kImageBlocks);
    require(bool(blocks_.alloc_range(addr_of(kImageBlocks), beyond)), "cannot mount");
    require(bool(blocks_.alloc_range(Addr(), Pages(kFirstData))), "cannot mount");

    read(1, inodes_.data(), sizeof inodes_);
    for (const Inode& inode : inodes_) {
      for (const Extent& e : extents(inode)) {
        if (!blocks_.alloc_range(addr_of(e.first), Pages(e.blocks))) {
          std::printf("mount: blocks %u to %u of %s are not free\n", e.first,
                      e.first + e.blocks - 1, inode.name.data());
          ++damaged_;
        }
      }
    }
  }
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;
  ~FileSystem() { blocks_.release(); }

  // Makes a file longer by n blocks; a new one if there is none of this name. False, and unchanged,
  // when the image is full.
  bool extend(const std::string& name, std::uint64_t n) {
    if (blocks_.free_pages_total() < Pages(n)) return false;
    Inode* inode = find(name);
    if (inode == nullptr) {
      inode = find("");
      require(inode != nullptr && name.size() < inode->name.size(), "no inode");
      std::memcpy(inode->name.data(), name.data(), name.size());
    }
    const std::uint32_t old_blocks = inode->blocks;
    while (n > 0) n -= add(*inode, n);
    for (std::uint64_t i = old_blocks; i < inode->blocks; ++i) write_data(*inode, i);
    write_inodes();
    return true;
  }

  void remove(const std::string& name) {
    Inode* inode = find(name);
    require(inode != nullptr, "no such file");
    for (const Extent& e : extents(*inode)) {
      require(blocks_.free(addr_of(e.first), Pages(e.blocks)), "a block was free already");
    }
    *inode = {};
    write_inodes();
  }

  // Cuts a file to n blocks.
  void truncate(const std::string& name, std::uint32_t n) {
    Inode* inode = find(name);
    require(inode != nullptr && n > 0, "no such file");
    while (inode->blocks > n) {
      Extent& last = inode->extent[inode->extents - 1];
      const std::uint32_t cut = std::min(last.blocks, inode->blocks - n);
      inode->blocks -= cut;
      if (cut < last.blocks) {
        require(blocks_.shrink(addr_of(last.first), Pages(last.blocks), Pages(last.blocks - cut)),
                "a block was free already");
        last.blocks -= cut;
      } else {
        require(blocks_.free(addr_of(last.first), Pages(cut)), "a block was free already");
        --inode->extents;
      }
    }
    write_inodes();
  }

  // Makes free blocks holes in the image.
  std::uint64_t trim() { return blocks_.scavenge(Bytes(~std::uint64_t{0})).n / kBlockBytes; }

  // Reads every block of every file and compares it with what was written.
  void verify() {
    std::uint64_t files = 0, count = 0, pieces = 0;
    for (const Inode& inode : inodes_) {
      files += inode.name[0] != 0;
      pieces += inode.extents;
      std::uint64_t i = 0;
      for (const Extent& e : extents(inode)) {
        for (std::uint32_t k = 0; k < e.blocks; ++k, ++i, ++count) {
          Block block;
          read(e.first + k, block.data(), sizeof block);
          require(block == contents(inode, i), "a block has wrong contents");
        }
      }
    }
    std::printf("verified %zu files of %zu blocks in %zu extents\n", size_t{files}, size_t{count},
                size_t{pieces});
  }

  void report_free() const {
    const FreeRunHistogram runs = blocks_.free_run_histogram();
    std::printf("%zu blocks free:", size_t{blocks_.free_pages_total().n});
    for (unsigned k = 0; k < FreeRunHistogram::kOrders; ++k) {
      if (runs.runs[k] == 0) continue;
      std::printf(" %zux[%zu..%zu]", size_t{runs.runs[k]}, size_t{1} << k, (size_t{2} << k) - 1);
    }
    std::printf("\n");
  }

  [[nodiscard]] const Allocator& blocks() const { return blocks_; }
  [[nodiscard]] unsigned damaged() const { return damaged_; }

  // For the demonstration: makes one file claim the first block of another.
  void damage(const std::string& name, const std::string& victim) {
    find(name)->extent[0].first = find(victim)->extent[0].first;
    write_inodes();
  }

 private:
  static std::span<const Extent> extents(const Inode& inode) {
    return {inode.extent.data(), inode.extents};
  }

  Inode* find(const std::string& name) {
    const auto it = std::find_if(inodes_.begin(), inodes_.end(),
                                 [&](const Inode& inode) { return name == inode.name.data(); });
    return it == inodes_.end() ? nullptr : &*it;
  }

  // Adds up to n blocks to a file: behind its last extent if these are free, else as the longest
  // new extent up to n. Returns how many.
  std::uint64_t add(Inode& inode, std::uint64_t n) {
    if (inode.extents > 0) {
      Extent& last = inode.extent[inode.extents - 1];
      if (blocks_.try_extend(addr_of(last.first), Pages(last.blocks), Pages(last.blocks + n))) {
        last.blocks += static_cast<std::uint32_t>(n);
        inode.blocks += static_cast<std::uint32_t>(n);
        return n;
      }
    }
    require(inode.extents < inode.extent.size(), "too many extents");
    Allocation run = blocks_.alloc(Pages(n));
    while (!run) run = blocks_.alloc(Pages(n = (n + 1) / 2));
    inode.extent[inode.extents++] = {static_cast<std::uint32_t>(block_of(run.base)),
                                     static_cast<std::uint32_t>(n)};
    inode.blocks += static_cast<std::uint32_t>(n);
    return n;
  }

  static Block contents(const Inode& inode, std::uint64_t i) {
    Block block;
    const std::uint64_t seed = std::hash<std::string>()(inode.name.data());
    for (std::size_t k = 0; k < block.size(); ++k) block[k] = seed ^ (i << 20) ^ k;
    return block;
  }

  void write_data(const Inode& inode, std::uint64_t i) {
    const Block block = contents(inode, i);
    for (const Extent& e : extents(inode)) {
      if (i < e.blocks) return write(e.first + i, block.data(), sizeof block);
      i -= e.blocks;
    }
  }
  void write_inodes() { write(1, inodes_.data(), sizeof inodes_); }

  void read(std::uint64_t block, void* data, std::size_t bytes) {
    const auto offset = static_cast<off_t>(block * kBlockBytes);
    require(pread(image_, data, bytes, offset) == static_cast<ssize_t>(bytes), "reading failed");
  }
  void write(std::uint64_t block, const void* data, std::size_t bytes) {
    const auto offset = static_cast<off_t>(block * kBlockBytes);
    require(pwrite(image_, data, bytes, offset) == static_cast<ssize_t>(bytes), "writing failed");
  }
  // Some file systems have no holes; a block then just keeps its old contents until it is written.
  void punch(Addr begin, Bytes bytes) noexcept {
    (void)fallocate(image_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin.n),
                    static_cast<off_t>(bytes.n));
  }

  int image_;
  Allocator blocks_;
  std::array<Inode, kInodes> inodes_{};
  unsigned damaged_ = 0;
};

// ---- A day in the life of an image -----------------------------------------------------------

std::string name_of(unsigned i) { return "file" + std::to_string(i); }

void run(const std::string& folder) {
  std::string name = folder + "/image_blocks.XXXXXX";
  const int image = mkstemp(name.data());
  require(image >= 0, "cannot make the image");
  unlink(name.c_str());  // it lives while it is open
  require(ftruncate(image, static_cast<off_t>(kImageBlocks * kBlockBytes)) == 0, "no room");

  Pages free_before{};
  FreeRunHistogram runs_before;
  {
    FileSystem fs(image);
    fs.report_free();
    for (unsigned i = 0; i < 200; ++i) require(fs.extend(name_of(i), 1 + i * 7 % 97), "full");
    for (unsigned i = 0; i < 200; i += 2) fs.remove(name_of(i));
    std::printf("200 files made, every other one deleted\n");
    fs.report_free();

    require(fs.extend("movie", 3500), "full");
    require(fs.extend("log", 5), "full");
    for (unsigned i = 0; i < 40; ++i) require(fs.extend("log", 3), "full");
    fs.truncate("movie", 3000);
    std::printf("a long file and a growing one made\n");
    fs.report_free();
    require(!fs.extend("too long", kImageBlocks), "more blocks than there are");
    fs.verify();
    std::printf("trimmed %zu blocks", size_t{fs.trim()});
    std::printf(", then %zu\n", size_t{fs.trim()});
    free_before = fs.blocks().free_pages_total();
    runs_before = fs.blocks().free_run_histogram();
  }
  {
    FileSystem fs(image);
    const FreeRunHistogram runs = fs.blocks().free_run_histogram();
    require(fs.blocks().is_valid() && fs.blocks().free_pages_total() == free_before &&
                runs.runs == runs_before.runs && runs.pages == runs_before.pages,
            "the state rebuilt differs");
    std::printf("mounted again: the same blocks are free\n");
    fs.verify();
    fs.damage(name_of(3), name_of(1));
  }
  const FileSystem damaged(image);
  require(damaged.damaged() == 1, "damage went unseen");
  close(image);
}

}  // namespace

int main(int argc, char** argv) try {
  const char* folder = std::getenv("TMPDIR");
  run(argc > 1 ? argv[1] : folder != nullptr ? folder : "/tmp");
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "image_blocks: %s\n", e.what());
  return 1;
}
