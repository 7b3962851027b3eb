// The tables of memory nodes, read from made-up trees: as kernels write them, with holes, and
// broken.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "os/numa.h"

namespace ream::os {
namespace {

namespace fs = std::filesystem;

const std::string kFolder = "/sys/devices/system/node/";

// A made-up /proc and /sys in a temporary directory.
class NumaTablesTest : public testing::Test {
 protected:
  NumaTablesTest() {
    char name[] = "/tmp/ream-numa-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~NumaTablesTest() override { fs::remove_all(root_); }

  void file(const std::string& path, const std::string& text) {
    const fs::path full = root_ + path;
    fs::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  void allowed(const std::string& list) {
    file("/proc/self/status", "Name:\tx\nMems_allowed:\t3\nMems_allowed_list:\t" + list +
                                  "\nvoluntary_ctxt_switches:\t1\n");
  }
  void node(unsigned n, const std::string& cpus, const std::string& distance = "") {
    const std::string folder = kFolder + "node" + std::to_string(n);
    file(folder + "/cpulist", cpus + "\n");
    if (!distance.empty()) file(folder + "/distance", distance + "\n");
  }
  void nodes(const std::string& online, const std::string& with_memory) {
    file(kFolder + "online", online + "\n");
    file(kFolder + "has_memory", with_memory + "\n");
  }
  // As numa=fake=2 leaves a machine of 8 CPUs, or one of two sockets.
  void two_nodes() {
    nodes("0-1", "0-1");
    node(0, "0-3", "10 20");
    node(1, "4-7", "20 10");
  }
  const NumaNodes& read() {
    errno = 77;
    read_numa_nodes(read_, root_.c_str());
    EXPECT_EQ(errno, 77);
    return read_;
  }
  // The nodes of CPUs [0, count), -1 where it is not known.
  std::vector<int> of_cpus(unsigned count) {
    std::vector<int> of;
    for (unsigned i = 0; i < count; ++i) of.push_back(read_.of_cpu[i] - 1);
    return of;
  }

  std::string root_;
  NumaNodes read_;
};

using Of = std::vector<int>;

TEST_F(NumaTablesTest, NothingThereIsOneNode) { EXPECT_LE(read().count, 1u); }

TEST_F(NumaTablesTest, OneNode) {
  nodes("0", "0");
  node(0, "0-7", "10");
  EXPECT_LE(read().count, 1u);
}

TEST_F(NumaTablesTest, TwoNodes) {
  two_nodes();
  EXPECT_EQ(read().count, 2u);
  EXPECT_EQ(of_cpus(9), (Of{0, 0, 0, 0, 1, 1, 1, 1, -1}));
  EXPECT_EQ(read_.system_node[0], 0);
  EXPECT_EQ(read_.system_node[1], 1);
  EXPECT_EQ(read_.of_system_node[0], 1);
  EXPECT_EQ(read_.of_system_node[1], 2);
  EXPECT_EQ(read_.of_system_node[2], 0);
}

TEST_F(NumaTablesTest, HolesInNodesAndCpus) {
  nodes("0,4-5", "0,4-5");
  node(0, "0,2,9-10", "10 20 30");
  node(4, "1,3", "20 10 30");
  node(5, "4-6,8", "30 30 10");
  EXPECT_EQ(read().count, 3u);
  EXPECT_EQ(of_cpus(11), (Of{0, 1, 0, 1, 2, 2, 2, -1, 2, 0, 0}));
  EXPECT_EQ(read_.system_node[2], 5);
  EXPECT_EQ(read_.of_system_node[5], 3);
}

// Memory alone (an expander, an accelerator's) is where no thread is.
TEST_F(NumaTablesTest, ANodeWithoutCpusIsNone) {
  nodes("0-2", "0-2");
  node(0, "0-1", "10 20 30");
  node(1, "2-3", "20 10 30");
  node(2, "", "30 30 10");
  EXPECT_EQ(read().count, 2u);
  EXPECT_EQ(read_.of_system_node[2], 0);
  nodes("0,2", "0,2");
  EXPECT_EQ(read().count, 1u);
}

TEST_F(NumaTablesTest, CpusWithoutMemoryGoToTheNearest) {
  nodes("0-3", "0,2");
  node(0, "0", "10 20 30 30");
  node(1, "1", "20 10 30 30");
  node(2, "2", "30 30 10 20");
  node(3, "3", "30 30 20 10");
  EXPECT_EQ(read().count, 2u);
  EXPECT_EQ(of_cpus(4), (Of{0, 0, 1, 1}));
  EXPECT_EQ(read_.of_system_node[3], 2);
}

TEST_F(NumaTablesTest, WithoutDistancesTheFirstMemoryServes) {
  nodes("0-2", "0-1");
  node(0, "0");
  node(1, "1");
  node(2, "2");
  EXPECT_EQ(read().count, 2u);
  EXPECT_EQ(of_cpus(3), (Of{0, 1, 0}));
  node(2, "2", "30 x 10");
  EXPECT_EQ(read().count, 2u);
  EXPECT_EQ(of_cpus(3), (Of{0, 1, 0}));
}

TEST_F(NumaTablesTest, OnlyMemoryThatTheProcessMayUseCounts) {
  nodes("0-3", "0-3");
  for (unsigned n = 0; n < 4; ++n)
    node(n, std::to_string(n), n < 2 ? "10 20 30 30" : "30 30 10 20");
  node(1, "1", "20 10 30 30");
  node(3, "3", "30 30 20 10");
  allowed("1,2");
  EXPECT_EQ(read().count, 2u);
  EXPECT_EQ(of_cpus(4), (Of{0, 0, 1, 1}));
  EXPECT_EQ(read_.system_node[0], 1);
  EXPECT_EQ(read_.system_node[1], 2);
  allowed("2");
  EXPECT_LE(read().count, 1u);
  allowed("0-3");
  EXPECT_EQ(read().count, 4u);
  allowed("nonsense");
  EXPECT_EQ(read().count, 4u);
}

// A CPU that comes later is asked about: the kernel then names its system node.
TEST_F(NumaTablesTest, CpusThatAreOfflineAreNotKnownYet) {
  two_nodes();
  node(1, "5-7", "20 10");
  EXPECT_EQ(read().count, 2u);
  EXPECT_EQ(of_cpus(6), (Of{0, 0, 0, 0, -1, 1}));
  EXPECT_EQ(read_.of_system_node[1], 2);
}

TEST_F(NumaTablesTest, BrokenListsOfCpus) {
  for (const char* list :
       {"x", "4-", "-7", "4--7", "7-4", "4,,5", "4;5", "99999999999", "4-7 ", ","}) {
    two_nodes();
    node(1, list, "20 10");
    EXPECT_EQ(read().count, 2u) << list;  // its CPUs are asked about
    EXPECT_EQ(read_.of_system_node[1], 2) << list;
    EXPECT_EQ(of_cpus(4), (Of{0, 0, 0, 0})) << list;
  }
  two_nodes();
  std::string longer_than_any_buffer = "4";
  for (unsigned i = 0; i < 5000; ++i) longer_than_any_buffer += ",4";
  node(1, longer_than_any_buffer);
  EXPECT_EQ(read().count, 2u);
  node(1, "4-7,5000,999999");  // CPUs beyond the table
  EXPECT_EQ(read().count, 2u);
  EXPECT_EQ(of_cpus(8), (Of{0, 0, 0, 0, 1, 1, 1, 1}));
  fs::remove(root_ + kFolder + "node1/cpulist");
  EXPECT_EQ(read().count, 1u);
}

TEST_F(NumaTablesTest, BrokenListsOfNodesAreOneNode) {
  for (const char* list : {"", "x", "0-", "1-0", "0,,1", "0 1", "0-99999999999"}) {
    two_nodes();
    nodes("0-1", list);
    EXPECT_LE(read().count, 1u) << list;
    nodes(list, "0-1");
    EXPECT_LE(read().count, 1u) << list;
  }
}

TEST_F(NumaTablesTest, OlderKernelsNameNormalMemory) {
  two_nodes();
  fs::remove(root_ + kFolder + "has_memory");
  EXPECT_LE(read().count, 1u);
  file(kFolder + "has_normal_memory", "0-1\n");
  EXPECT_EQ(read().count, 2u);
}

TEST_F(NumaTablesTest, MoreNodesThanAreToldApartShare) {
  constexpr unsigned kNodes = NumaNodes::kMost + 3;
  nodes("0-10", "0-10");
  for (unsigned n = 0; n < kNodes; ++n) node(n, std::to_string(n));
  EXPECT_EQ(read().count, NumaNodes::kMost);
  for (unsigned n = 0; n < kNodes; ++n) EXPECT_EQ(read_.of_cpu[n] - 1u, n % NumaNodes::kMost) << n;
  for (unsigned n = 0; n < NumaNodes::kMost; ++n)
    EXPECT_EQ(read_.system_node[n], n < 3 ? NumaNodes::kShared : static_cast<int>(n)) << n;
  node(1023, "700");
  nodes("0-1,1023-2000", "0-1,1023-2000");  // numbers beyond all kernels' are passed over
  EXPECT_EQ(read().count, 3u);
  EXPECT_EQ(read_.system_node[2], 1023);
  EXPECT_EQ(read_.of_cpu[700], 3);
}

TEST_F(NumaTablesTest, ATooLongRootIsOneNode) {
  NumaNodes none;
  read_numa_nodes(none, ("/" + std::string(600, 'p')).c_str());
  EXPECT_LE(none.count, 1u);
}

TEST_F(NumaTablesTest, TheRealOnesAreConsistent) {
  NumaNodes real;
  read_numa_nodes(real);
  ASSERT_LE(real.count, NumaNodes::kMost);
  for (const std::uint8_t of : real.of_cpu) EXPECT_LE(of, real.count);
  for (const std::uint8_t of : real.of_system_node) EXPECT_LE(of, real.count);
}

}  // namespace
}  // namespace ream::os
