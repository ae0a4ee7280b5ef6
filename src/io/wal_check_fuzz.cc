// Any bytes may lie where a write-ahead log should; and a log that is merely cut off never counts
// as damaged when the whole of it does not.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "io/wal_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view wal(reinterpret_cast<const char*>(data), size);
  if (!weir::io::DamageInWal(wal)) CHECK(!weir::io::DamageInWal(wal.substr(0, size / 2)));
  return 0;
}
