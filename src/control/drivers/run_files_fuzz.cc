// The readers of a run folder's files take any bytes; what they accept, they write and read again
// as the same.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "control/drivers/run_files.h"

namespace {
template <class T>
void TryAs(std::string_view text) {
  using namespace weir;
  const Result<T> read = wire::FromText<T>(text);
  if (!read) return;
  const std::string written = wire::ToText(*read);
  const Result<T> again = wire::FromText<T>(written);
  CHECK(again && wire::ToText(*again) == written);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  TryAs<weir::control::ShimSpec>(text);
  TryAs<weir::control::ShimState>(text);
  TryAs<weir::control::StopRequest>(text);
  TryAs<weir::control::ShimExit>(text);
  return 0;
}
