// The table of trace formats: one line each, in the order in which they are tried.
#include <fmt/format.h>

#include "control/sim/traces/format.h"

namespace weir::sim {

extern const Format kWeirJobs, kWeirDemand, kHeliosJobs, kHeliosClusters, kOpenbPods, kOpenbNodes,
    kSpotGpuNodes, kAzureRequests, kMooncakeRequests, kLingjunHosts, kServegenTotal,
    kServegenClients, kSkypilotSpot, kSlurmSacct, kStandardWorkload;

const std::vector<const Format*>& Formats() {
  static const std::vector<const Format*> all = {
      &kWeirJobs,          // our own
      &kWeirDemand,        //
      &kHeliosJobs,        // before openb: both have submit times under their own names
      &kHeliosClusters,    //
      &kOpenbPods,         //
      &kOpenbNodes,        //
      &kSpotGpuNodes,      //
      &kMooncakeRequests,  // before azure: it has all of azure's columns but the time
      &kAzureRequests,     //
      &kLingjunHosts,      //
      &kServegenTotal,     //
      &kServegenClients,   //
      &kSkypilotSpot,      //
      &kSlurmSacct,        //
      &kStandardWorkload,  // by place: last
  };
  return all;
}

const Format* FindFormat(std::string_view name) {
  for (const Format* format : Formats()) {
    if (format->name == name) return format;
  }
  return nullptr;
}

std::string FormatsMarkdown() {
  std::string out =
      "| format | what it is | columns (in brackets: may be missing) |\n| --- | --- | --- |\n";
  for (const Format* format : Formats()) {
    std::string columns;
    for (const Column& column : format->columns) {
      columns += fmt::format(
          "{}{}", columns.empty() ? "" : ", ",
          column.required ? fmt::format("`{}`", column.name) : fmt::format("[`{}`]", column.name));
    }
    out += fmt::format("| `{}` | {} | {} |\n", format->name, format->what, columns);
  }
  return out;
}

}  // namespace weir::sim
