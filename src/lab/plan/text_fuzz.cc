// Plan files, tables of offers and histories from outside: any bytes give an answer or an error.
#include <cstdint>
#include <string>
#include <string_view>

#include "lab/plan/beliefs.h"
#include "lab/plan/history.h"
#include "lab/plan/scenarios.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::plan;
  if (size < 1 || size > 65536) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto none = [](const std::string& path) -> weir::Result<std::string> {
    return weir::Error(weir::Code::kNotFound, path);
  };
  switch (data[0] % 3) {
    case 0:
      if (auto b = ReadBeliefs(text, "fuzz", none, {});
          b && b->problem.months <= 36 && b->problem.offers.size() < 100)
        DrawScenarios(&*b, 4, 1, 0);
      break;
    case 1:
      (void)ReadCsv(text, "fuzz", "offer").has_value();
      break;
    case 2:
      if (const auto h = ReadHistory(text, "fuzz", "")) (void)FitHistory(*h, 12 * 2027).has_value();
      break;
  }
  return 0;
}
