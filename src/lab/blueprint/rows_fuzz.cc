// Tables, model files, accelerator files, offers and calibrations from outside: any bytes give a
// result or an error, and what was read can be predicted without harm.
#include <cstdint>
#include <string_view>

#include "lab/blueprint/calibration.h"
#include "lab/blueprint/plan_run.h"
#include "lab/blueprint/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::blueprint;
  if (size < 1 || size > 65536) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0: {
      const auto rows = ReadRows(text, "fuzz");
      if (!rows) break;
      const Coefficients c = KnobTree().At({});
      for (const Row& r : rows->rows) PredictRow(r, c);
      break;
    }
    case 1:
      (void)ParseModelToml(text, "fuzz").has_value();
      break;
    case 2:
      (void)ParseAcceleratorToml(text, "fuzz").has_value();
      break;
    case 3:
      (void)ReadOffers(text, "fuzz", 20000).has_value();
      break;
    case 4:
      (void)FromText(text, "").has_value();
      break;
  }
  return 0;
}
