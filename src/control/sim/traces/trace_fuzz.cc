// Any bytes as a trace: never a crash, and what is read keeps to its bounds. The first byte chooses
// a format to insist on, or none; gzip is told by the bytes.
#include <cstdint>

#include "base/check.h"
#include "control/sim/traces/format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::sim;
  if (size == 0) return 0;
  ReadOptions options;
  options.strict = (data[0] & 64) != 0;
  const size_t choice = data[0] % 32;
  if (choice < Formats().size()) options.format = Formats()[choice]->name;
  Trace trace;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto read = ReadTrace(weir::io::LineReader::OfBytes(text, "fuzz.csv"), options, &trace);
  if (!read) {
    CHECK(!read.error().message().empty());
    return 0;
  }
  for (size_t i = 0; i < trace.jobs.size(); ++i) {
    const Job& job = trace.jobs[i];
    CHECK(job.slots > 0 && job.slots <= kMaxSlotsOfARow);
    CHECK(job.submit.us >= 0 && job.duration.us >= 0);
    CHECK(i == 0 || trace.jobs[i - 1].submit <= job.submit);
  }
  for (const Demand& demand : trace.demands) CHECK(demand.requests_per_s >= 0);
  return 0;
}
