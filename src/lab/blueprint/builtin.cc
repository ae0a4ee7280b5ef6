// The calibration's two files, as bytes of this program.
#include <string_view>

#include "base/check.h"
#include "lab/blueprint/calibration.h"

__asm__(
    ".section .rodata\n"
    "weir_calibration_toml:\n"
    ".incbin \"" WEIR_CALIBRATION_DIR
    "/calibration.toml\"\n"
    "weir_calibration_toml_end:\n"
    "weir_calibration_rows:\n"
    ".incbin \"" WEIR_CALIBRATION_DIR
    "/residuals.csv\"\n"
    "weir_calibration_rows_end:\n"
    ".previous\n");
extern "C" const char weir_calibration_toml[], weir_calibration_toml_end[], weir_calibration_rows[],
    weir_calibration_rows_end[];

namespace weir::blueprint {

std::string_view BuiltinToml() {
  return {weir_calibration_toml,
          static_cast<size_t>(weir_calibration_toml_end - weir_calibration_toml)};
}
std::string_view BuiltinRowsCsv() {
  return {weir_calibration_rows,
          static_cast<size_t>(weir_calibration_rows_end - weir_calibration_rows)};
}

const Calibration& BuiltinCalibration() {
  static const Calibration calibration = [] {
    Result<Calibration> c = FromText(BuiltinToml(), BuiltinRowsCsv());
    CHECK_MSG(c.has_value(), "the built-in calibration: {}", c.error().ToString());
    return *std::move(c);
  }();
  return calibration;
}

}  // namespace weir::blueprint
