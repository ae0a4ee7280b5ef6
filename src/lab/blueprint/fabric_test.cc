#include "lab/blueprint/fabric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::blueprint {
namespace {

using ::testing::HasSubstr;

TEST(Fabric, IsThatOfThePublishedReferenceDesigns) {
  const struct {
    int nodes, radix, breakout, leaves, spines, cores;
    int64_t node_cables, spine_cables, core_cables;
  } designs[] = {{64, 64, 1, 16, 8, 0, 512, 512, 0},
                 {256, 64, 1, 64, 32, 0, 2048, 2048, 0},
                 {1024, 64, 1, 256, 256, 128, 8192, 8192, 8192},
                 {64, 64, 4, 16, 8, 0, 512, 512, 0},
                 {256, 64, 4, 64, 32, 0, 2048, 2048, 0},
                 {1024, 64, 4, 256, 128, 0, 8192, 8192, 0},
                 {144, 144, 1, 16, 8, 0, 1152, 1152, 0},
                 {576, 144, 1, 64, 36, 0, 4608, 4608, 0}};
  for (const auto& d : designs) {
    const auto f = DesignFabric({.nodes = d.nodes, .radix = d.radix, .breakout = d.breakout});
    ASSERT_TRUE(f) << f.error().ToString();
    EXPECT_EQ(f->leaves, d.leaves) << d.nodes;
    EXPECT_EQ(f->spines, d.spines) << d.nodes;
    EXPECT_EQ(f->cores, d.cores) << d.nodes;
    EXPECT_EQ(f->node_cables, d.node_cables);
    EXPECT_EQ(f->spine_cables, d.spine_cables);
    EXPECT_EQ(f->core_cables, d.core_cables);
    EXPECT_EQ(f->optics, 2 * f->cables());
  }
}

// Whatever is asked for: enough ports everywhere, no switch over-full, spines alike.
TEST(Fabric, NeverUsesAPortTwice) {
  for (const int radix : {8, 32, 64, 144}) {
    for (const int nics : {1, 4, 8}) {
      for (const double over : {1.0, 2.0, 3.0}) {
        for (int nodes = 1; nodes < 700; nodes = nodes * 3 / 2 + 1) {
          const FabricRequest r{
              .nodes = nodes, .nics = nics, .radix = radix, .oversubscription = over};
          const auto f = DesignFabric(r);
          if (!f) {
            EXPECT_EQ(f.error().code(), Code::kInvalidArgument);
            EXPECT_FALSE(f.error().hint().empty());
            continue;
          }
          SCOPED_TRACE(testing::Message()
                       << nodes << " nodes, radix " << radix << ", " << nics << " nics, " << over);
          EXPECT_LE(f->nodes_per_leaf * (f->leaves == 1 ? nics : 1) + f->uplinks_per_leaf, radix);
          EXPECT_GE(static_cast<int64_t>(f->leaves_per_rail) * f->nodes_per_leaf, nodes);
          if (f->tiers == 1) continue;
          EXPECT_GE(static_cast<int64_t>(f->uplinks_per_leaf) * over + 1e-9, f->nodes_per_leaf);
          EXPECT_EQ(f->spine_cables, static_cast<int64_t>(f->leaves) * f->uplinks_per_leaf);
          EXPECT_GE(static_cast<int64_t>(f->spines) * (f->tiers == 3 ? radix / 2 : radix),
                    f->spine_cables);
          // With three tiers the last pod may be part full.
          if (f->tiers == 2) {
            EXPECT_EQ(f->uplinks_per_leaf % f->spines, 0);
          }
          if (f->tiers == 3) {
            EXPECT_GE(static_cast<int64_t>(f->cores) * radix, f->core_cables);
          }
        }
      }
    }
  }
}

TEST(Fabric, WhatDoesNotFitIsSaidWithTheLimit) {
  const auto two = DesignFabric({.nodes = 1024, .tiers = 2});
  ASSERT_FALSE(two);
  EXPECT_THAT(two.error().message(), HasSubstr("at most 256"));
  EXPECT_THAT(two.error().hint(), HasSubstr("more tiers"));
  EXPECT_FALSE(DesignFabric({.nodes = 0}));
  EXPECT_FALSE(DesignFabric({.nodes = 4, .radix = 7}));
  EXPECT_FALSE(DesignFabric({.nodes = 4, .oversubscription = 0.5}));
  EXPECT_FALSE(DesignFabric({.nodes = 65, .tiers = 1}));
  EXPECT_EQ(DesignFabric({.nodes = 64, .tiers = 1})->leaves, 8);
}

TEST(Fabric, TheDrawingNamesItsCountsAndStaysSmall) {
  for (const int nodes : {2, 8, 64, 256, 1024}) {
    const auto f = DesignFabric({.nodes = nodes});
    const std::string svg = DrawFabric(*f);
    EXPECT_THAT(svg, testing::StartsWith("<svg"));
    EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
    EXPECT_THAT(svg, HasSubstr(std::to_string(f->node_cables) + " cables"));
    EXPECT_LT(svg.size(), 200'000u);
  }
}

}  // namespace
}  // namespace weir::blueprint
