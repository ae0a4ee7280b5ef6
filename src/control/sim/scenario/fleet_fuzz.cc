// Any bytes as a fleet file: never a crash, and what is accepted keeps to its bounds.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "control/sim/scenario/fleet.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto fleet = weir::sim::ParseFleet(text, "fuzz.toml", "/nonexistent");
  if (!fleet) {
    CHECK(!fleet.error().message().empty());
    return 0;
  }
  CHECK(!fleet->nodes.empty() && !fleet->sites.empty());
  for (const weir::sim::NodeSpec& node : fleet->nodes) {
    CHECK(node.slots >= 1 && node.slots <= 64);
    CHECK(node.site >= 0 && static_cast<size_t>(node.site) < fleet->sites.size());
  }
  return 0;
}
