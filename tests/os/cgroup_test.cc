#include "os/cgroup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/units.h"

namespace ream::os {
namespace {

namespace fs = std::filesystem;

// A made-up /proc and /sys in a temporary directory.
class CgroupTest : public testing::Test {
 protected:
  CgroupTest() {
    char name[] = "/tmp/ream-cgroup-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~CgroupTest() override { fs::remove_all(root_); }

  void file(const std::string& path, const std::string& text) {
    const fs::path full = root_ + path;
    fs::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  void own(const std::string& lines) { file("/proc/self/cgroup", lines); }
  CgroupMemory read() {
    errno = 77;
    const CgroupMemory memory = read_cgroup_memory(root_.c_str());
    EXPECT_EQ(errno, 77);
    return memory;
  }

  std::string root_;
};

#define EXPECT_VALUE(v, n)                   \
  do {                                       \
    EXPECT_EQ((v).kind, CgroupKind::kValue); \
    EXPECT_EQ((v).bytes, Bytes(n));          \
  } while (false)

TEST_F(CgroupTest, NothingThere) {
  EXPECT_EQ(read().version, 0u);
  EXPECT_EQ(read().limit.kind, CgroupKind::kAbsent);
  own("");
  EXPECT_EQ(read().version, 0u);
}

TEST_F(CgroupTest, Version2OwnGroup) {
  own("0::/user.slice/app\n");
  file("/sys/fs/cgroup/user.slice/app/memory.max", "536870912\n");
  file("/sys/fs/cgroup/user.slice/app/memory.high", "max\n");
  file("/sys/fs/cgroup/user.slice/app/memory.current", "1000\n");
  const CgroupMemory m = read();
  EXPECT_EQ(m.version, 2u);
  EXPECT_VALUE(m.limit, 536870912);
  EXPECT_EQ(m.high.kind, CgroupKind::kNoLimit);
  EXPECT_VALUE(m.current, 1000);
}

TEST_F(CgroupTest, LowestOfAllAncestorsCounts) {
  own("0::/a/b/c\n");
  file("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
  file("/sys/fs/cgroup/a/b/c/memory.current", "10\n");
  file("/sys/fs/cgroup/a/b/c/memory.high", "900\n");
  file("/sys/fs/cgroup/a/b/memory.max", "2000\n");
  file("/sys/fs/cgroup/a/b/memory.current", "20\n");
  file("/sys/fs/cgroup/a/memory.max", "1000\n");
  file("/sys/fs/cgroup/a/memory.current", "30\n");
  file("/sys/fs/cgroup/a/memory.high", "800\n");
  CgroupMemory m = read();
  EXPECT_VALUE(m.limit, 1000);
  EXPECT_VALUE(m.current, 30);
  EXPECT_VALUE(m.high, 800);
  file("/sys/fs/cgroup/a/memory.max", "3000\n");
  m = read();
  EXPECT_VALUE(m.limit, 2000);
  EXPECT_VALUE(m.current, 20);
}

TEST_F(CgroupTest, NoLimitAnywhere) {
  own("0::/a\n");
  file("/sys/fs/cgroup/a/memory.max", "max");
  file("/sys/fs/cgroup/a/memory.current", "5");
  const CgroupMemory m = read();
  EXPECT_EQ(m.limit.kind, CgroupKind::kNoLimit);
  EXPECT_VALUE(m.current, 5);
}

// The path is the host's, the mount shows the container's group as its root.
TEST_F(CgroupTest, ContainerSeesItsGroupAsRoot) {
  own("0::/kubepods/pod1/box\n");
  file("/sys/fs/cgroup/memory.max", "4096\n");
  file("/sys/fs/cgroup/memory.current", "7\n");
  const CgroupMemory m = read();
  EXPECT_VALUE(m.limit, 4096);
  EXPECT_VALUE(m.current, 7);
}

TEST_F(CgroupTest, RootGroup) {
  own("0::/\n");
  EXPECT_EQ(read().version, 2u);
  EXPECT_EQ(read().limit.kind, CgroupKind::kAbsent);  // the true root has no such file
  file("/sys/fs/cgroup/memory.max", "123\n");
  EXPECT_VALUE(read().limit, 123);
}

TEST_F(CgroupTest, Version1) {
  own("11:cpu,cpuacct:/x\n9:memory:/docker/12\n1:name=systemd:/y\n0::/z\n");
  file("/sys/fs/cgroup/memory/docker/12/memory.limit_in_bytes", "65536\n");
  file("/sys/fs/cgroup/memory/docker/12/memory.usage_in_bytes", "42\n");
  file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  const CgroupMemory m = read();
  EXPECT_EQ(m.version, 1u);
  EXPECT_VALUE(m.limit, 65536);
  EXPECT_VALUE(m.current, 42);
  EXPECT_EQ(m.high.kind, CgroupKind::kAbsent);
}

TEST_F(CgroupTest, Version1WithoutALimit) {
  own("4:cpuset,memory:/\n");
  file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(read().version, 1u);
  EXPECT_EQ(read().limit.kind, CgroupKind::kNoLimit);
}

TEST_F(CgroupTest, MemoryIsFoundAmongControllersOnly) {
  own("3:memoryx:/a\n2:xmemory,cpu:/b\n5:name=memory:/c\n");
  EXPECT_EQ(read().version, 0u);
  own("3:cpu,memory,pids:/a\n");
  EXPECT_EQ(read().version, 1u);
  own("3:cpu,memory:/a\n");
  EXPECT_EQ(read().version, 1u);
}

TEST_F(CgroupTest, MalformedValues) {
  own("0::/a\n");
  for (const char* text : {"", "\n", "maximum\n", "-1\n", " 5\n", "5 6\n", "12x\n", "0x10\n",
                           "99999999999999999999\n", "18446744073709551616\n"}) {
    file("/sys/fs/cgroup/a/memory.max", text);
    EXPECT_EQ(read().limit.kind, CgroupKind::kMalformed) << '"' << text << '"';
  }
  file("/sys/fs/cgroup/memory.max", "77\n");  // an answer elsewhere is an answer
  EXPECT_VALUE(read().limit, 77);
  file("/sys/fs/cgroup/a/memory.max", "0\n");
  EXPECT_VALUE(read().limit, 0);
  file("/sys/fs/cgroup/a/memory.max", std::string(100000, '1'));
  EXPECT_VALUE(read().limit, 77);
}

TEST_F(CgroupTest, MalformedGroups) {
  for (const char* lines :
       {"\n\n\n", "0", "0:", "0:/x", "0::relative\n", ":::::\n", "0::", "memory\n"}) {
    own(lines);
    EXPECT_EQ(read().version, 0u) << '"' << lines << '"';
  }
  own("garbage\n0::/a\n");
  EXPECT_EQ(read().version, 2u);
  own("0::/a");  // no end of line
  file("/sys/fs/cgroup/a/memory.max", "9");
  EXPECT_VALUE(read().limit, 9);
  own("0::///a//\n");
  EXPECT_VALUE(read().limit, 9);
  own("0::/" + std::string(5000, 'p') + "\n");
  EXPECT_EQ(read().limit.kind, CgroupKind::kUnreadable);
}

TEST_F(CgroupTest, UnreadableFile) {
  own("0::/a\n");
  fs::create_directories(root_ +
                         "/sys/fs/cgroup/a/memory.max");  // a directory: opens, does not read
  EXPECT_EQ(read().limit.kind, CgroupKind::kUnreadable);
}

TEST_F(CgroupTest, TheRealOneIsConsistent) {
  const CgroupMemory m = read_cgroup_memory();
  EXPECT_LE(m.version, 2u);
  if (m.limit.kind == CgroupKind::kValue && m.current.kind == CgroupKind::kValue) {
    EXPECT_GT(m.limit.bytes, Bytes());
    EXPECT_GT(m.current.bytes, Bytes());
  }
}

}  // namespace
}  // namespace ream::os
