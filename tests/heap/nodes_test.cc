#include "heap/nodes.h"

#include <gtest/gtest.h>

#include <memory>

#include "heap/node_tables.h"
#include "os/fake_os.h"

namespace ream {
namespace {

using fake_os::Call;

constexpr unsigned kWindows = 8;

class NodesTest : public testing::Test {
 protected:
  NodesTest() { fake_os::reset(); }
  ~NodesTest() override {
    fake_os::go_to_node(0);
    fake_os::reset();
  }
  Nodes& start(unsigned count) {
    nodes_ = std::make_unique<Nodes>();
    nodes_->start(nodes_of(count), kWindows);
    return *nodes_;
  }
  std::unique_ptr<Nodes> nodes_;
};

TEST_F(NodesTest, OneNodeAsksNobody) {
  fake_os::go_to_node(3);
  const Addr base = fake_os::map_anywhere(1_MiB, 4_KiB);
  for (const unsigned count : {0u, 1u, kWindows + 1}) {  // the last cannot be parted
    Nodes& nodes = start(count);
    EXPECT_FALSE(nodes.several());
    EXPECT_EQ(nodes.count(), 1u);
    EXPECT_EQ(nodes.here(), 0u);
    for (unsigned shard = 0; shard < 16; ++shard) EXPECT_EQ(nodes.of_shard(shard), 0u);
    EXPECT_EQ(nodes.first_window(0), 0u);
    nodes.place(0, base, 1_MiB);
  }
  EXPECT_EQ(fake_os::calls(Call::kPreferNode), 0u);
}

TEST_F(NodesTest, WindowsAreSharedOutEvenly) {
  for (unsigned count = 2; count <= kWindows; ++count) {
    const Nodes& nodes = start(count);
    EXPECT_EQ(nodes.count(), count);
    for (unsigned n = 0; n < count; ++n) EXPECT_EQ(nodes.first_window(n), n * (kWindows / count));
  }
}

TEST_F(NodesTest, ListsTakeTurns) {
  const Nodes& nodes = start(3);
  for (unsigned shard = 0; shard < 15; ++shard) EXPECT_EQ(nodes.of_shard(shard), shard % 3);
}

TEST_F(NodesTest, AThreadIsWhereTheSystemSays) {
  const Nodes& nodes = start(4);
  for (const unsigned n : {3u, 0u, 2u}) {
    fake_os::go_to_node(n);
    EXPECT_EQ(nodes.here(), n);
  }
}

TEST_F(NodesTest, PlacesMemoryByTheSystemsNumbers) {
  Nodes& nodes = start(2);
  const Addr base = fake_os::map_anywhere(2_MiB, 4_KiB);
  nodes.place(1, base, 1_MiB);
  EXPECT_EQ(fake_os::preferred_node(base), system_node_of(1));
  EXPECT_EQ(fake_os::preferred_node(base + 1_MiB), -1);
  EXPECT_EQ(nodes.refused(), 0u);
  fake_os::fail(Call::kPreferNode);
  nodes.place(0, base + 1_MiB, 1_MiB);
  EXPECT_EQ(fake_os::preferred_node(base + 1_MiB), -1);
  EXPECT_EQ(nodes.refused(), 1u);
}

TEST_F(NodesTest, WhatSeveralShareIsNotPlaced) {
  os::NumaNodes table = nodes_of(2);
  table.system_node[1] = os::NumaNodes::kShared;
  Nodes nodes;
  nodes.start(table, kWindows);
  const Addr base = fake_os::map_anywhere(1_MiB, 4_KiB);
  nodes.place(1, base, 1_MiB);
  EXPECT_EQ(fake_os::calls(Call::kPreferNode), 0u);
  EXPECT_EQ(nodes.refused(), 0u);
}

}  // namespace
}  // namespace ream
