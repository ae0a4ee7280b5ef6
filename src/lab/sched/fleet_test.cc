// The index of free slots against plain loops, and where gangs go.
#include "lab/sched/fleet.h"

#include <gtest/gtest.h>

#include <bit>
#include <iostream>
#include <set>

#include "base/random.h"

namespace weir::sched {
namespace {

// `nodes` nodes of 8 slots: racks of 2, leaves of 4, spines of 8.
Fleet Small(int nodes) {
  Fleet fleet;
  for (int i = 0; i < nodes; ++i) {
    fleet.SetNode(i, {.spine = i / 8, .leaf = i / 4, .rack = i / 2, .slots = 8, .usable = 0xFF});
  }
  fleet.Settle();
  return fleet;
}

TEST(NumberSet, IsASet) {
  Random random(5);
  for (const size_t size : {1UL, 63UL, 64UL, 65UL, 5000UL, 300000UL}) {
    NumberSet set;
    set.Resize(size);
    std::set<int64_t> model;
    for (int i = 0; i < 3000; ++i) {
      const auto n = static_cast<int64_t>(random.Below(size));
      if (random.Chance(0.5)) {
        set.Insert(n);
        model.insert(n);
      } else {
        set.Erase(n);
        model.erase(n);
      }
      const auto from = static_cast<int64_t>(random.Below(size + 70));
      const auto at = model.lower_bound(from);
      ASSERT_EQ(set.Next(from), at == model.end() ? -1 : *at) << "size " << size;
      ASSERT_EQ(set.Has(n), model.contains(n));
    }
  }
}

TEST(Fleet, ASmallGangGoesWhereFewestAreLeftSoThatWholeNodesStayFree) {
  Fleet fleet = Small(4);
  fleet.Hold({{2, 0x3F}});
  EXPECT_EQ(fleet.Find(0, 2, {}), (Places{{2, 0xC0}}));
  EXPECT_EQ(fleet.Find(0, 3, {}), (Places{{0, 0x07}}));
}

TEST(Fleet, ABigGangStaysWithinTheNarrowestDomain) {
  Fleet fleet = Small(16);
  EXPECT_EQ(fleet.SpreadOf(fleet.Find(0, 16, {})).level, Level::kRack);
  EXPECT_EQ(fleet.SpreadOf(fleet.Find(0, 32, {})).level, Level::kLeaf);
  fleet.Hold({{0, 1}, {4, 1}, {8, 1}, {12, 1}});  // no leaf is whole any more
  const Places gang = fleet.Find(0, 32, {});
  const Spread spread = fleet.SpreadOf(gang);
  EXPECT_EQ(spread.level, Level::kSpine);
  EXPECT_EQ(spread.nodes, 4);
  EXPECT_DOUBLE_EQ(spread.lost, 0.5) << "25 of the 50 GB/s that a leaf would have given it";
  EXPECT_EQ(fleet.Find(0, 31, {}).size(), 4u);
  EXPECT_EQ(fleet.SpreadOf(fleet.Find(0, 31, {})).level, Level::kLeaf) << "31 still fit into one";
  EXPECT_TRUE(fleet.Find(0, 32, {.widest = Level::kLeaf}).empty());
  EXPECT_EQ(fleet.SpreadOf(fleet.Find(0, 124, {})).level, Level::kSite);
  EXPECT_TRUE(fleet.Find(0, 125, {}).empty());
}

TEST(Fleet, KeepsToWhatAShapeAsksFor) {
  Fleet fleet = Small(4);
  EXPECT_EQ(fleet.Find(0, 8, {.avoid = {0, 1}}), (Places{{2, 0xFF}}));
  fleet.Hold({{0, 1}});
  EXPECT_EQ(fleet.Find(0, 8, {.whole_nodes = true}), (Places{{1, 0xFF}}));
  EXPECT_EQ(fleet.Find(0, 16, {.whole_nodes = true}), (Places{{2, 0xFF}, {3, 0xFF}}));
  EXPECT_TRUE(fleet.Find(0, 12, {.whole_nodes = true}).empty()) << "not a number of whole nodes";
  EXPECT_TRUE(fleet.Find(0, 9, {.widest = Level::kNode}).empty());
  EXPECT_FALSE(fleet.Fits(0, 1, {.types = 2}));
  EXPECT_EQ(fleet.Find(0, 2, {}, {{3, 0x30}}), (Places{{3, 0x30}})) << "its old slots first";
  EXPECT_EQ(fleet.Find(0, 3, {}, {{0, 0x06}}), (Places{{0, 0x0E}}));
}

TEST(Fleet, NodesThatLeaveComeLastAndNotForWhatOutlastsThem) {
  Fleet fleet = Small(2);
  Node leaving = fleet.node(0);
  leaving.leaves = Time{1000};
  fleet.SetNode(0, leaving);
  fleet.Settle();
  EXPECT_EQ(fleet.Find(0, 8, {}, {}, Time{500}), (Places{{1, 0xFF}}));
  fleet.Hold({{1, 0xFF}});
  EXPECT_EQ(fleet.Find(0, 8, {}, {}, Time{500}), (Places{{0, 0xFF}}));
  EXPECT_TRUE(fleet.Find(0, 8, {}, {}, Time{2000}).empty());
}

TEST(Fleet, ASlotHeldTwiceIsFreeOnceBothHaveGone) {
  Fleet fleet = Small(1);
  fleet.Hold({{0, 3}});
  fleet.Hold({{0, 2}});
  fleet.Release({{0, 3}});
  EXPECT_FALSE(fleet.Free(1));
  EXPECT_TRUE(fleet.Free(0));
  fleet.Release({{0, 2}});
  EXPECT_EQ(fleet.free(), 8);
}

// Every answer is right, and the index is the one that a new fleet would have.
TEST(Fleet, FindsAGangWhereverOneIsAndTheIndexIsAsIfBuiltAnew) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const int nodes = static_cast<int>(random.Between(1, 40));
    Fleet fleet;
    const int32_t size = static_cast<int32_t>(random.Between(1, 9));
    for (int i = 0; i < nodes; ++i) {
      const uint64_t all = (uint64_t{1} << size) - 1;
      fleet.SetNode(i, {.site = random.Chance(0.2),
                        .spine = i / 16,
                        .leaf = i / 6,
                        .rack = i / 3,
                        .slots = size,
                        .usable = all});
    }
    fleet.Settle();
    std::vector<Places> held;
    for (int step = 0; step < 200; ++step) {
      const PoolId pool = static_cast<PoolId>(random.Below(fleet.pools().size()));
      const int64_t n = random.Between(1, 3 * size);
      Shape shape;
      if (random.Chance(0.2)) shape.widest = static_cast<Level>(random.Below(5));
      if (random.Chance(0.1)) shape.avoid = {static_cast<NodeId>(random.Below(nodes))};
      if (random.Chance(0.1)) shape.whole_nodes = true;
      int64_t free = 0, one = 0;
      for (NodeId id = 0; id < nodes; ++id) {
        if (fleet.PoolOf(id) != pool) continue;
        if (!shape.avoid.empty() && shape.avoid[0] == id) continue;
        const int64_t here = std::popcount(fleet.FreeMask(id));
        if (shape.whole_nodes && here != size) continue;
        free += here;
        one = std::max(one, here);
      }
      const Places found = fleet.Find(pool, n, shape);
      ASSERT_EQ(fleet.Fits(pool, n, shape), !found.empty());
      const bool fits = !shape.whole_nodes || n % size == 0;
      if (shape.widest == Level::kSite) {
        ASSERT_EQ(!found.empty(), free >= n && fits) << n << " of " << free;
      }
      if (shape.widest == Level::kNode) {
        ASSERT_EQ(!found.empty(), one >= n && fits && (!shape.whole_nodes || n == size));
      }
      for (const Place& p : found) {
        ASSERT_EQ(p.slots & ~fleet.FreeMask(p.node), 0u);
        ASSERT_TRUE(shape.avoid.empty() || shape.avoid[0] != p.node);
      }
      if (!found.empty()) {
        ASSERT_EQ(SlotsIn(found), n);
        ASSERT_LE(fleet.SpreadOf(found).level, shape.widest);
        if (random.Chance(0.7)) {
          fleet.Hold(found);
          held.push_back(found);
        }
      }
      if (!held.empty() && random.Chance(0.4)) {
        fleet.Release(held.back());
        held.pop_back();
      }
      if (random.Chance(0.05)) {
        const NodeId id = static_cast<NodeId>(random.Below(nodes));
        Node node = fleet.node(id);
        node.usable = node.usable == 0 ? (uint64_t{1} << size) - 1 : 0;
        fleet.SetNode(id, node);
      }
    }
    Fleet anew;
    for (NodeId id = 0; id < nodes; ++id) anew.SetNode(id, fleet.node(id));
    anew.Settle();
    for (const Places& p : held) anew.Hold(p);
    ASSERT_EQ(anew.free(), fleet.free());
    for (PoolId pool = 0; pool < std::ssize(fleet.pools()); ++pool) {
      for (int64_t n = 1; n <= 4 * size; ++n) {
        ASSERT_EQ(anew.Find(pool, n, {}), fleet.Find(pool, n, {}));
      }
    }
  }
}

TEST(Fleet, GivesUpTheSlotsOfNodesWithFewestOfThem) {
  EXPECT_EQ(Fleet::GiveUp({{0, 0x7}, {1, 0x3}}, 3), (Places{{0, 0x4}, {1, 0x3}}));
}

}  // namespace
}  // namespace weir::sched
