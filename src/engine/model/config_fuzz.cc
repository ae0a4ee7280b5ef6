// Any bytes as config.json: refused, or a shape within its bounds that is written and read back.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "engine/model/config.h"
#include "engine/model/rope.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::model;
  const auto config = ConfigFromHfJson({reinterpret_cast<const char*>(data), size});
  if (!config) return 0;
  CHECK(Validate(*config).has_value());
  const auto again = ConfigFromHfJson(ConfigToHfJson(*config, "float32"));
  CHECK(again.has_value() && *again == *config);
  for (const Sight sight : {Sight::kGlobal, Sight::kSliding}) {
    for (const double f : RopeFrequenciesOf(*config, sight, config->max_seq).per_position) {
      CHECK(std::isfinite(f));
    }
  }
  return 0;
}
