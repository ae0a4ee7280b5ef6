// SkyPilot's record of AWS spot instances ("Can't Be Late", NSDI'24), run-length encoded: how many
// could be had in a zone, and for how long.
#include <fmt/format.h>

#include "control/sim/traces/format.h"

namespace weir::sim {
namespace {

Status SpotRow(const Row& row, RowSink* sink) {
  enum { kKind, kZone, kStart, kLength, kValue, kCollection };
  if (row.Text(kKind) != "availability") {
    sink->Skip("is not about availability");
    return {};
  }
  if (!row.Has(kZone)) return row.Bad(kZone, "a zone");
  SpotRun run;
  run.zone = row.Has(kCollection) ? fmt::format("{}/{}", row.Text(kCollection), row.Text(kZone))
                                  : std::string(row.Text(kZone));
  run.at = TRY(row.Seconds(kStart));
  run.length = TRY(row.Seconds(kLength));
  run.available = TRY(row.Integer(kValue, 0, kMaxSlotsOfARow));
  sink->Add(std::move(run));
  return {};
}

}  // namespace

extern const Format kSkypilotSpot;
const Format kSkypilotSpot{
    .name = "skypilot_spot",
    .what = "SkyPilot spot traces, runs of availability by zone",
    .columns =
        {{"kind"}, {"zone_gpu"}, {"start_s"}, {"length_s"}, {"value"}, {"collection", false}},
    .row = &SpotRow};

}  // namespace weir::sim
