#include "lab/sched/decide.h"

#include <gtest/gtest.h>

#include "lab/sched/test_world.h"

namespace weir::sched {
namespace {

// The lab of `weir up` on a small machine: four slots, one elastic trainer, one service.
TestWorld SmallLab() {
  TestWorld w;
  w.AddSlots(4);
  w.AddTeam("research", true, 3);
  w.AddTeam("product", false, 1);
  w.AddJob("research", 1, 4, 1e9);
  w.AddService("chat", "product", 1, 4, 10);
  return w;
}

TEST(Decide, LendsInASurgeByShrinkingAndTakesItBack) {
  TestWorld w = SmallLab();
  w.load = [](const std::string&, double t) { return t >= 60 && t < 120 ? 20.0 : 2.0; };
  w.Run(60);
  EXPECT_EQ(w.SlotsOf("job-001"), 3);
  EXPECT_EQ(w.Ready("chat"), 1);
  w.Run(5);
  EXPECT_EQ(w.s.loans.size(), 1u) << w.LastLog();
  w.Run(10);
  EXPECT_EQ(w.Ready("chat"), 3) << w.LastLog();
  EXPECT_EQ(w.SlotsOf("job-001"), 1);
  w.Run(45);
  w.Run(30);
  EXPECT_TRUE(w.s.loans.empty()) << w.LastLog();
  w.Run(20);
  EXPECT_EQ(w.SlotsOf("job-001"), 3) << w.LastLog();
}

}  // namespace
}  // namespace weir::sched
