// Alibaba clusterdata: the heterogeneous GPU cluster of 2023 (pods and nodes), the nodes of the
// spot cluster of 2026, and the hosts of the Lingjun cluster with their switches.
#include <fmt/format.h>

#include "control/sim/traces/format.h"

namespace weir::sim {
namespace {

// A pod that shares one accelerator (gpu_milli < 1000) is taken as a whole slot. Latency-sensitive
// pods (LS) rank before the others. A pod still running at the end has the end as deletion_time.
Status PodRow(const Row& row, RowSink* sink) {
  enum { kName, kGpus, kSpec, kQos, kPhase, kCreated, kDeleted, kScheduled };
  Job job;
  const int64_t gpus = TRY(row.Integer(kGpus, 0, kMaxSlotsOfARow));
  if (gpus == 0) {
    sink->Skip("asks for no accelerator");
    return {};
  }
  job.id = job.name = row.Text(kName);
  job.slots = gpus;
  job.submit = TRY(row.Seconds(kCreated));
  const Duration deleted = TRY(row.Seconds(kDeleted));
  // Never scheduled: it did no work that could be replayed.
  if (!row.Has(kScheduled)) {
    sink->Skip("was never scheduled");
    return {};
  }
  const Duration scheduled = TRY(row.Seconds(kScheduled));
  if (deleted < scheduled) return row.Bad(kDeleted, "at or after scheduled_time");
  job.duration = deleted - scheduled;
  // "A|B" allows either: the simulator places by one type, so only a single one binds.
  const std::string_view spec = row.Text(kSpec);
  if (spec.find('|') == std::string_view::npos) job.type = spec;
  job.team = row.Text(kQos);
  job.priority = job.team == "LS" || job.team == "Guaranteed" ? 1 : 0;
  if (row.Text(kPhase) == "Failed") job.end = JobEnd::kFailed;
  sink->Add(std::move(job));
  return {};
}

Status NodeOf(const Row& row, RowSink* sink) {
  enum { kSn, kGpu, kModel };
  NodeRow node;
  node.name = row.Text(kSn);
  node.slots = TRY(row.Integer(kGpu, 0, kMaxSlotsOfARow));
  node.type = row.Text(kModel);
  if (node.slots == 0) {
    sink->Skip("has no accelerator");
    return {};
  }
  sink->Add(std::move(node));
  return {};
}

Status SpotNodeRow(const Row& row, RowSink* sink) {
  enum { kModel, kCount, kName };
  NodeRow node;
  node.name = fmt::format("node-{}", row.Text(kName));
  node.slots = TRY(row.Integer(kCount, 0, kMaxSlotsOfARow));
  node.type = row.Text(kModel);
  if (node.slots == 0) {
    sink->Skip("has no accelerator");
    return {};
  }
  sink->Add(std::move(node));
  return {};
}

// The file says no accelerators: a host of this cluster has eight (SIGCOMM'24 Crux, section 2).
Status HostRow(const Row& row, RowSink* sink) {
  enum { kHost, kDsw, kPsw, kAsw };
  for (const size_t column : {size_t{kHost}, size_t{kPsw}, size_t{kAsw}}) {
    if (!row.Has(column)) return row.Bad(column, "a name");
  }
  sink->Add(NodeRow{fmt::format("host-{}", row.Text(kHost)), "", 8, std::string(row.Text(kAsw)),
                    std::string(row.Text(kPsw))});
  return {};
}

}  // namespace

extern const Format kOpenbPods, kOpenbNodes, kSpotGpuNodes, kLingjunHosts;
const Format kOpenbPods{.name = "openb_pods",
                        .what = "Alibaba cluster-trace-gpu-v2023, pods as jobs",
                        .columns = {{"name"},
                                    {"num_gpu"},
                                    {"gpu_spec"},
                                    {"qos"},
                                    {"pod_phase"},
                                    {"creation_time"},
                                    {"deletion_time"},
                                    {"scheduled_time"}},
                        .row = &PodRow};
const Format kOpenbNodes{.name = "openb_nodes",
                         .what = "Alibaba cluster-trace-gpu-v2023, nodes",
                         .columns = {{"sn"}, {"gpu"}, {"model"}},
                         .row = &NodeOf};
const Format kSpotGpuNodes{.name = "spotgpu_nodes",
                           .what = "Alibaba cluster-trace-v2026-spot-gpu, nodes",
                           .columns = {{"gpu_model"}, {"gpu_capacity_num"}, {"node_name"}},
                           .row = &SpotNodeRow};
const Format kLingjunHosts{.name = "lingjun_hosts",
                           .what = "Alibaba Lingjun 2023, hosts of eight with their switches",
                           .columns = {{"host"}, {"dsw"}, {"psw"}, {"asw"}},
                           .row = &HostRow};

}  // namespace weir::sim
