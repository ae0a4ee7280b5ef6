// Accelerators and clusters, as a spec sheet has them: peaks and sizes, nothing measured. What of a
// peak is reached is the calibration's business (knobs.h).
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::blueprint {

enum class Precision { kBf16, kFp8, kMxfp8, kNvfp4 };
inline constexpr std::array<Precision, 4> kPrecisions = {Precision::kBf16, Precision::kFp8,
                                                         Precision::kMxfp8, Precision::kNvfp4};
std::string_view NameOf(Precision p);  // "bf16", "fp8", "mxfp8", "nvfp4"
// Also the spellings of published tables: "FP8-CS", "FP8-MX", "fp4", "fp8_block", ...
Result<Precision> ParsePrecision(std::string_view text);

struct Accelerator {
  std::string name;
  std::vector<std::string> aliases;
  double bf16_flops = 0, fp8_flops = 0, fp4_flops = 0;  // dense peak per second; 0: not offered
  double memory_bytes = 0, memory_bytes_per_s = 0;
  double link_bytes_per_s = 0;  // to its neighbours in the fast domain, one direction
  double nic_bytes_per_s = 0;   // out of the node, its share, one direction
  int node = 8;                 // accelerators in one host
  int domain = 8;               // accelerators that the fast links join (72 in an NVL72 rack)
  double watts = 0;             // of the accelerator at full load
  double node_watts = 0;        // of everything in the node or rack, per accelerator
  // Rings that the fast links form for a group of 2..8, where that is not simply all of them: the
  // hybrid cube mesh of the DGX-1. Empty: a switch joins all.
  std::vector<double> mesh_rings;
  bool microscaling = false;  // MXFP8 in the tensor cores

  double Flops(Precision p) const;  // 0: not offered
};

const std::vector<Accelerator>& AcceleratorPresets();
Result<Accelerator> FindAccelerator(std::string_view name);
Status Validate(const Accelerator& a);

// A cluster: `count` accelerators in nodes joined by a fabric.
struct Cluster {
  Accelerator accelerator;
  int count = 8;
  double oversubscription = 1;     // of the fabric above the leaves: 2 halves what crosses it
  double storage_bytes_per_s = 0;  // that checkpoints are written with; 0: 2 GB/s per node
};

}  // namespace weir::blueprint
