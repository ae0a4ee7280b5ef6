// Request by request: Azure's LLM inference traces and Mooncake's conversations. Requests are
// counted into windows (kRequestWindow), which become the demand of one service.
#include "control/sim/traces/format.h"

namespace weir::sim {
namespace {

Status Request(const Row& row, RowSink* sink, double scale) {
  enum { kAt, kIn, kOut };
  const Duration at = TRY(row.Seconds(kAt, scale));
  const double in = TRY(row.Number(kIn, 0, 1e9));
  const double out = TRY(row.Number(kOut, 0, 1e9));
  sink->AddRequest(at, in, out);
  return {};
}

}  // namespace

extern const Format kAzureRequests, kMooncakeRequests;
const Format kAzureRequests{
    .name = "azure_requests",
    .what = "Azure LLM inference 2023, requests counted by the minute",
    .columns = {{"arrival_s"}, {"input_tokens"}, {"output_tokens"}},
    .row = [](const Row& row, RowSink* sink) { return Request(row, sink, 1); }};
const Format kMooncakeRequests{
    .name = "mooncake_requests",
    .what = "Mooncake conversations, requests counted by the minute",
    .columns = {{"arrival_ms"}, {"input_tokens"}, {"output_tokens"}},
    .row = [](const Row& row, RowSink* sink) { return Request(row, sink, 1e-3); }};

}  // namespace weir::sim
