// Every parser of what Slurm prints, on any bytes: an answer or an error, never more than its
// bounds.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "control/drivers/slurm/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::control::slurm;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseJobs(text);
  (void)ParseAccounting(text);
  (void)ParseNodes(text);
  (void)ParseGres(text);
  (void)ParseReservations(text);
  (void)ParseTopology(text);
  (void)ParseTimeLimit(text);
  (void)ConfigValue(text, "ClusterName");
  if (const auto hosts = ParseHosts(text)) CHECK(hosts->size() <= kMaxHosts);
  return 0;
}
