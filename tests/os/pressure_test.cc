#include "os/pressure.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace ream::os {
namespace {

namespace fs = std::filesystem;

// A made-up /proc and /sys in a temporary directory.
class PressureTest : public testing::Test {
 protected:
  PressureTest() {
    char name[] = "/tmp/ream-pressure-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~PressureTest() override { fs::remove_all(root_); }

  void file(const std::string& path, const std::string& text) {
    const fs::path full = root_ + path;
    fs::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  void own(const std::string& lines) { file("/proc/self/cgroup", lines); }
  static std::string lines(const std::string& avg10, const std::string& total) {
    return "some avg10=" + avg10 + " avg60=1.00 avg300=2.00 total=" + total +
           "\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=9\n";
  }
  MemoryPressure read() {
    errno = 77;
    const MemoryPressure pressure = read_memory_pressure(root_.c_str());
    EXPECT_EQ(errno, 77);
    return pressure;
  }
  // Whether a trigger can be armed, and the text of the file afterwards.
  bool arms() {
    PressureTrigger trigger;
    errno = 77;
    const bool armed = trigger.arm(200'000, 2'000'000, root_.c_str());
    EXPECT_EQ(errno, 77);
    return armed;
  }
  std::string text_of(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(root_ + path).rdbuf();
    return text.str();
  }

  std::string root_;
};

constexpr char kOfMachine[] = "/proc/pressure/memory";

TEST_F(PressureTest, NothingThere) {
  EXPECT_FALSE(read().known);
  EXPECT_FALSE(arms());
  own("0::/a\n");
  EXPECT_FALSE(read().known);
  EXPECT_FALSE(arms());
}

TEST_F(PressureTest, OfTheOwnGroup) {
  own("0::/user.slice/app\n");
  file("/sys/fs/cgroup/user.slice/app/memory.pressure", lines("12.34", "5678901"));
  file("/sys/fs/cgroup/user.slice/memory.pressure", lines("1.00", "1"));
  file("/sys/fs/cgroup/memory.pressure", lines("2.00", "2"));
  file(kOfMachine, lines("3.00", "3"));
  const MemoryPressure pressure = read();
  EXPECT_TRUE(pressure.known);
  EXPECT_EQ(pressure.avg10, 1234u);
  EXPECT_EQ(pressure.stalled_us, 5678901u);
}

TEST_F(PressureTest, OfTheMachineWhereThereIsNoGroup) {
  file(kOfMachine, lines("3.05", "3"));
  EXPECT_EQ(read().avg10, 305u);
  own("");
  EXPECT_EQ(read().avg10, 305u);
  own("4:memory:/box\n0::/\n");  // version 1 does not say
  file("/sys/fs/cgroup/memory/box/memory.pressure_level", "");
  file("/sys/fs/cgroup/memory.pressure", lines("2.00", "2"));
  EXPECT_EQ(read().avg10, 305u);
  own("0::/" + std::string(5000, 'p') + "\n");
  EXPECT_EQ(read().avg10, 305u);
}

// A group above tells of others.
TEST_F(PressureTest, OfTheMachineWhereTheOwnGroupDoesNotSay) {
  own("0::/a/b\n");
  file("/sys/fs/cgroup/a/b/memory.max", "max\n");
  file("/sys/fs/cgroup/a/memory.pressure", lines("1.00", "1"));
  file(kOfMachine, lines("3.00", "3"));
  EXPECT_EQ(read().avg10, 300u);
  fs::create_directories(root_ + "/sys/fs/cgroup/a/b/memory.pressure");  // opens, does not read
  EXPECT_EQ(read().avg10, 300u);
  fs::remove(root_ + "/sys/fs/cgroup/a/b/memory.pressure");
  file("/sys/fs/cgroup/a/b/memory.pressure", "");  // switched off
  EXPECT_EQ(read().avg10, 300u);
}

// The path is the host's, the mount shows the container's group as its root.
TEST_F(PressureTest, ContainerSeesItsGroupAsRoot) {
  own("0::/kubepods/pod1/box\n");
  file("/sys/fs/cgroup/memory.pressure", lines("0.07", "42"));
  file(kOfMachine, lines("3.00", "3"));
  EXPECT_EQ(read().avg10, 7u);
  EXPECT_EQ(read().stalled_us, 42u);
}

TEST_F(PressureTest, MalformedTextIsNotKnown) {
  for (const char* text :
       {"", "\n", "some", "some avg10=", "some avg10=1.00", "some avg10=1.00 total=",
        "some avg10=1 avg60=1.00 avg300=1.00 total=1\n", "some avg10=1.0 avg60=1.00 total=1\n",
        "some avg10=1.000 total=1\n", "some avg10=-1.00 total=1\n", "some avg10=101.00 total=1\n",
        "some avg10=1.00 total=x\n", "some avg10=1.00 total=1x\n",
        "some avg10=1.00 total=99999999999999999999\n", "some avg10=1.00\nfull total=1\n",
        "full avg10=1.00 avg60=1.00 avg300=1.00 total=1\n", "0.10 0.20 0.30\n"}) {
    file(kOfMachine, text);
    EXPECT_FALSE(read().known) << '"' << text << '"';
    EXPECT_FALSE(arms()) << '"' << text << '"';
  }
  file(kOfMachine, "some avg10=100.00 avg60=0.00 avg300=0.00 total=18446744073709551615");
  EXPECT_TRUE(read().known);
  EXPECT_EQ(read().avg10, 10000u);
  EXPECT_EQ(read().stalled_us, ~std::uint64_t{0});
}

TEST_F(PressureTest, TheTriggerIsWrittenToTheFileThatIsRead) {
  own("0::/a\n");
  file("/sys/fs/cgroup/a/memory.pressure", lines("0.00", "0"));
  file(kOfMachine, lines("3.00", "3"));
  EXPECT_TRUE(arms());
  EXPECT_EQ(text_of("/sys/fs/cgroup/a/memory.pressure").substr(0, 20), "some 200000 2000000\n");
  EXPECT_EQ(text_of(kOfMachine), lines("3.00", "3"));
}

TEST_F(PressureTest, ATriggerThatIsRefusedLeavesNothingOpen) {
  own("0::/a\n");
  file("/sys/fs/cgroup/a/memory.pressure", lines("0.00", "0"));
  // Nobody may write to what is not there any more by the time; nor, but for root, to this.
  fs::permissions(root_ + "/sys/fs/cgroup/a/memory.pressure", fs::perms::owner_read);
  const auto open_files = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  const auto before = open_files();
  EXPECT_EQ(arms(), ::geteuid() == 0);
  EXPECT_EQ(open_files(), before);
  // The kernel itself refuses a window that is too long.
  PressureTrigger trigger;
  EXPECT_FALSE(trigger.arm(200'000, 3'600'000'000, ""));
  EXPECT_EQ(open_files(), before);
}

TEST_F(PressureTest, TheRealOneIsConsistent) {
  const MemoryPressure first = read_memory_pressure();
  if (!first.known) GTEST_SKIP() << "no pressure stall information here";
  EXPECT_LE(first.avg10, 10000u);
  const MemoryPressure second = read_memory_pressure();
  EXPECT_GE(second.stalled_us, first.stalled_us);
}

}  // namespace
}  // namespace ream::os
