#include "engine/serve/flows.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace weir::serve {
namespace {

double ChargeOf(const Flows& flows, int flow) {
  return flows.view()[static_cast<size_t>(flow)].charged;
}

TEST(Flows, KeysOfOneTierShareAFlowEachAndTiersWeighDifferently) {
  Flows flows;
  const int a = flows.Enter("a", 1);
  EXPECT_EQ(flows.Enter("a", 1), a);
  const int low = flows.Enter("a", 2);
  EXPECT_NE(low, a);
  flows.Charge(a, 100);
  flows.Charge(low, 100);
  EXPECT_EQ(ChargeOf(flows, a), 100);
  EXPECT_EQ(ChargeOf(flows, low), 400);
  flows.Leave(a);
  EXPECT_EQ(flows.active(), 2u);
  flows.Leave(a);
  EXPECT_EQ(flows.active(), 1u);
}

TEST(Flows, IdlenessSavesNothingAndLeavingPaysNoDebt) {
  Flows flows;
  const int busy = flows.Enter("busy", 1);
  flows.Charge(busy, 1000);
  const int late = flows.Enter("late", 1);
  EXPECT_EQ(ChargeOf(flows, late), 1000) << "it was idle, and begins where the busy one is";
  flows.Charge(late, 5000);
  flows.Leave(late);
  const int again = flows.Enter("late", 1);
  EXPECT_EQ(ChargeOf(flows, again), 6000);
  flows.Leave(again);
  flows.Charge(busy, 9000);
  EXPECT_EQ(ChargeOf(flows, flows.Enter("late", 1)), 10'000) << "long forgiven";
}

TEST(Flows, WhatIsRememberedIsBounded) {
  Flows flows;
  const int here = flows.Enter("here", 1);
  for (int i = 0; i < 10'000; ++i) {
    const int passer = flows.Enter(fmt::format("{}", i), 1);
    flows.Charge(passer, 10 + i);
    flows.Leave(passer);
  }
  EXPECT_EQ(flows.active(), 1u);
  EXPECT_LE(flows.view().size(), 2u);
  EXPECT_EQ(ChargeOf(flows, here), 0);
}

}  // namespace
}  // namespace weir::serve
