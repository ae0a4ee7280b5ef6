// How one training step is spread over accelerators.
//
// tp * cp * pp * dp accelerators hold the model once per dp (with ZeRO or FSDP in pieces). Expert
// parallelism takes its members from the tp * cp * dp ranks of one pipeline stage, so it does not
// multiply. A step is `gradient_accumulation` micro-batches of `micro_batch` sequences per dp rank.
#pragma once

#include <string>

#include "lab/blueprint/hardware.h"

namespace weir::blueprint {

enum class Recompute { kNone, kSelective, kFull };
std::string_view NameOf(Recompute r);

struct Layout {
  int tp = 1;          // tensor parallel: each matrix is cut in tp
  int pp = 1;          // pipeline stages
  int interleave = 1;  // model chunks per stage
  int dp = 1;          // replicas of the whole
  int cp = 1;          // context parallel: each sequence is cut in cp
  int ep = 1;          // expert parallel
  int zero = 1;        // 0: all states on every rank; 1 optimizer, 2 gradients, 3 weights are split
  int micro_batch = 1;  // sequences
  Recompute recompute = Recompute::kNone;
  bool sequence_parallel = true;  // norms and dropouts are cut by tp too
  Precision precision = Precision::kBf16;

  // As a double: degrees of outside tables may be absurd, and their product must not overflow.
  double accelerators() const { return static_cast<double>(tp) * pp * dp * cp; }
};
// "tp4 pp8x5 dp2 cp1 ep1 zero1 mbs1 recompute=none fp8"
std::string Describe(const Layout& l);

}  // namespace weir::blueprint
