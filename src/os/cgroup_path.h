// Where the control group of the process is. For the files of src/os only.
//
//   0::/slice/app       version 2   /sys/fs/cgroup/slice/app
//   9:memory:/box/12    version 1   /sys/fs/cgroup/memory/box/12
//
// A container often sees the host's path in /proc/self/cgroup but only its own group, as the root,
// below /sys/fs/cgroup; so a directory that is not there is to be passed over on the way up.
//
// Thread safety: a path belongs to one thread.
#pragma once

#include <cstddef>

namespace ream::os {

// A path that grows and shrinks at its end. Too long a path becomes invalid and stays so.
class Path {
 public:
  Path& append(const char* text) noexcept {
    while (*text != '\0') put(*text++);
    return *this;
  }
  void put(char c) noexcept {
    if (size_ + 1 >= kCapacity) {
      valid_ = false;
      return;
    }
    text_[size_++] = c;
    text_[size_] = '\0';
  }
  void cut(std::size_t size) noexcept {
    size_ = size;
    text_[size_] = '\0';
  }
  // Removes the last component, not going below `floor` bytes. False when it is there already.
  bool up(std::size_t floor) noexcept {
    while (size_ > floor && text_[size_ - 1] == '/') --size_;
    if (size_ <= floor) return cut(floor), false;
    while (size_ > floor && text_[size_ - 1] != '/') --size_;
    while (size_ > floor && text_[size_ - 1] == '/') --size_;
    cut(size_);
    return true;
  }
  [[nodiscard]] bool valid() const noexcept { return valid_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const char* text() const noexcept { return text_; }

 private:
  static constexpr std::size_t kCapacity = 4096;

  char text_[kCapacity] = {};
  std::size_t size_ = 0;
  bool valid_ = true;
};

[[nodiscard]] inline bool starts_with(const char* text, const char* prefix) noexcept {
  while (*prefix != '\0' && *text == *prefix) ++text, ++prefix;
  return *prefix == '\0';
}

// The directory of the process's own group with memory.
struct CgroupDirectory {
  unsigned version = 0;        // 1, 2, or 0: there is none, or /proc cannot be read
  Path path;                   // may be invalid: too long
  std::size_t mount_size = 0;  // of `path`, up to where groups begin: as far as to go up
};
// `root` is put before /proc and /sys.
[[nodiscard]] CgroupDirectory find_cgroup_directory(const char* root) noexcept;

}  // namespace ream::os
