// Models and accelerators as people describe them: TOML files whose quantities carry their units.
//
//   [model]                          [accelerator]
//   name = "ours-13b"                name = "next-gen"
//   hidden = 5120                    base = "b200"              # what is not said comes from there
//   layers = 40                      bf16 = "3.5PFLOP/s"
//   heads = 40                       memory = "384GiB"
//   kv_heads = 8                     memory_bandwidth = "16TB/s"
//   ffn = 13824                      link_bandwidth = "1.8TB/s"
//   vocab = 128256                   nic_bandwidth = "800Gbit/s"
//                                    power = "1800W"
//
// A number without a unit is refused where a unit is needed; an unknown field is refused with the
// nearest that is known. docs/blueprint.md lists all fields.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "lab/blueprint/hardware.h"
#include "lab/blueprint/model_shape.h"

namespace weir::blueprint {

enum class Dimension {
  kBytes,
  kBytesPerSecond,
  kFlops,
  kWatts,
  kDollarsPerHour,
  kGramsPerKwh,
  kTokens,
  kPerSecond
};

// "80GiB", "3.35TB/s", "400Gbit/s" (an eighth in bytes), "989TFLOP/s", "0.7kW", "$2.49/h",
// "250g/kWh", "15T" (tokens; the one that needs no unit), "20/s". The result in bytes, bytes/s,
// FLOP/s, W, dollars, grams, tokens, 1/s. `field` names it in errors.
Result<double> ParseQuantity(std::string_view text, Dimension dimension, std::string_view field);

Result<ModelShape> ParseModelToml(std::string_view text, std::string_view source);
Result<Accelerator> ParseAcceleratorToml(std::string_view text, std::string_view source);

// "2027-03-01" as days since 1970-01-01; and back.
Result<int64_t> ParseDay(std::string_view text, std::string_view field);
std::string DayText(int64_t day);

}  // namespace weir::blueprint
