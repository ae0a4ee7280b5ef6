#include "gateway/api/engine_stats.h"

#include <gtest/gtest.h>

namespace weir::gateway {
namespace {

constexpr const char* kText =
    "# HELP weir_engine_running_sequences x\n"
    "weir_engine_running_sequences 3\n"
    "weir_engine_max_batch 8\n"
    "weir_engine_queue_length 2\n"
    "weir_engine_kv_blocks{state=\"used\"} 10\n"
    "weir_engine_kv_blocks{state=\"cached\"} 4\n"
    "weir_engine_kv_blocks{state=\"free\"} 6\n"
    "weir_engine_generated_tokens_total 1000\n"
    "weir_engine_prefix_hit_tokens_total 7\n"
    "weir_engine_ttft_seconds_bucket{le=\"0.5\"} 2\n"
    "weir_engine_ttft_seconds_bucket{le=\"+Inf\"} 3\n"
    "weir_engine_ttft_seconds_sum 1.5\n"
    "process_cpu_seconds_total 5\n"
    "weir_engine_running_sequences nan\n"
    "weir_engine_running_sequences -1e300\n"
    "weir_engine_nonsense{le=\"} x\n";

TEST(EngineStats, ReplicasAreAddedUp) {
  wire::EngineView sum;
  EXPECT_TRUE(AddEngineText(kText, sum));
  EXPECT_TRUE(AddEngineText(kText, sum));
  EXPECT_EQ(sum.replicas, 2);
  EXPECT_EQ(sum.running, 6);
  EXPECT_EQ(sum.max_batch, 16);
  EXPECT_EQ(sum.queued, 4);
  EXPECT_EQ(sum.kv_blocks_used + sum.kv_blocks_cached + sum.kv_blocks_free, 40);
  EXPECT_EQ(sum.generated_tokens, 2000);
  EXPECT_EQ(sum.prefix_hit_tokens, 14);
  EXPECT_EQ(sum.ttft.border_ms, (std::vector<double>{500, 0}));
  EXPECT_EQ(sum.ttft.count, (std::vector<int64_t>{4, 6}));
  EXPECT_TRUE(sum.tpot.count.empty());
}

TEST(EngineStats, AnotherProgramsTextAddsNothing) {
  wire::EngineView sum;
  EXPECT_FALSE(AddEngineText("http_requests_total 5\n<html> 1\n\n 3\n{} 4\n", sum));
  EXPECT_EQ(sum.replicas, 0);
}

}  // namespace
}  // namespace weir::gateway
