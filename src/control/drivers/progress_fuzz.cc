// What a command writes is anything: its progress lines and the end of its output stay bounded.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "control/drivers/progress_reader.h"
#include "control/drivers/run_log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using weir::control::LastLines;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = weir::control::ParseProgressLine(text);
  CHECK(!line || line->is_object());
  LastLines whole;
  whole.Add(text);
  LastLines parts;
  parts.Add(text.substr(0, size / 2));
  parts.Add(text.substr(size / 2));
  const auto lines = whole.Get();
  CHECK(lines == parts.Get());
  CHECK(lines.size() <= LastLines::kLines);
  for (const std::string& each : lines) CHECK(each.size() <= LastLines::kLineBytes + 3);
  return 0;
}
