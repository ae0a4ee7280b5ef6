// Alibaba ServeGen (arXiv 2505.09999): requests per second of a model in windows of ten minutes, in
// all or client by client.
#include "control/sim/traces/format.h"

namespace weir::sim {
namespace {

Status TotalRow(const Row& row, RowSink* sink) {
  enum { kAt, kRate, kIn, kOut };
  Demand demand;
  demand.at = TRY(row.Seconds(kAt));
  demand.requests_per_s = TRY(row.Number(kRate, 0, 1e9));
  if (row.Has(kIn)) demand.tokens_in = TRY(row.Number(kIn, 0, 1e9));
  if (row.Has(kOut)) demand.tokens_out = TRY(row.Number(kOut, 0, 1e9));
  sink->Add(std::move(demand));
  return {};
}

// Clients are added up to the demand of the model; windows without a row had no request.
Status ClientRow(const Row& row, RowSink* sink) {
  enum { kClient, kAt, kRate };
  Demand demand;
  demand.at = TRY(row.Seconds(kAt));
  demand.requests_per_s = TRY(row.Number(kRate, 0, 1e9));
  sink->BeginSeries(row.Text(kClient));
  sink->Add(std::move(demand));
  return {};
}

}  // namespace

extern const Format kServegenTotal, kServegenClients;
const Format kServegenTotal{.name = "servegen",
                            .what = "Alibaba ServeGen, the demand of one model",
                            .columns = {{"t_s"},
                                        {"rate_rps"},
                                        {"mean_in_tokens", false},
                                        {"mean_out_tokens", false},
                                        {"share_of_rate_with_token_stats"}},
                            .row = &TotalRow};
const Format kServegenClients{.name = "servegen_clients",
                              .what = "Alibaba ServeGen, one model client by client, added up",
                              .columns = {{"client"}, {"t_s"}, {"rate_rps"}, {"cv"}},
                              .row = &ClientRow};

}  // namespace weir::sim
