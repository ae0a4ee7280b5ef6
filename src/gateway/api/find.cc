#include "gateway/api/find.h"

#include <set>

namespace weir::gateway {

namespace {
constexpr auto kAlways = [](const auto&) { return true; };
constexpr auto kId = [](const auto& o) { return o.id; };
constexpr auto kName = [](const auto& o) { return o.name; };
}  // namespace

bool HasEnded(wire::JobPhase phase) {
  return phase == wire::JobPhase::kDone || phase == wire::JobPhase::kFailed ||
         phase == wire::JobPhase::kCancelled;
}

Result<const wire::Team*> FindTeam(const wire::LabView& view, const std::string& which) {
  return Find("team", view.teams, which, kName, kName, kAlways);
}

Result<const wire::Job*> FindJob(const wire::LabView& view, const std::string& which) {
  return Find(
      "job", view.jobs, which, kId, [](const wire::Job& j) { return j.spec.name; },
      [](const wire::Job& j) { return !HasEnded(j.phase); });
}

Result<const wire::ServiceView*> FindService(const wire::LabView& view, const std::string& which) {
  return Find(
      "service", view.services, which, [](const wire::ServiceView& s) { return s.service.id; },
      [](const wire::ServiceView& s) { return s.service.spec.name; },
      [](const wire::ServiceView& s) { return s.service.phase != wire::ServicePhase::kRetired; });
}

Result<const wire::Loan*> FindLoan(const wire::LabView& view, const std::string& which) {
  return Find("loan", view.loans, which, kId, kId, kAlways);
}

Result<const wire::Lease*> FindLease(const wire::LabView& view, const std::string& which) {
  return Find("lease", view.leases, which, kId, kId, kAlways);
}

Result<const wire::Slot*> FindSlot(const wire::LabView& view, const std::string& which) {
  return Find("slot", view.slots, which, kId, kId, kAlways);
}

Result<std::vector<std::string>> SlotsOfNode(const wire::LabView& view, const std::string& which) {
  std::vector<std::string> slots;
  std::set<std::string> nodes;
  for (const wire::Slot& slot : view.slots) {
    const std::string full = slot.site + "/" + slot.node;
    if (slot.node != which && full != which) continue;
    slots.push_back(slot.id);
    nodes.insert(full);
  }
  if (nodes.size() > 1) {
    return Error(Code::kInvalidArgument, fmt::format("the name {} is ambiguous: it is {}", which,
                                                     fmt::join(nodes, " and ")))
        .Hint("say which as site/node");
  }
  if (slots.empty()) {
    return Error(Code::kNotFound, fmt::format("node {} is not known", which))
        .Hint("see `weir slot list`");
  }
  return slots;
}

Result<const wire::Dataset*> FindDataset(const wire::LabView& view, const std::string& which) {
  return Find("dataset", view.datasets, which, kId, kName, [](const auto&) { return false; });
}

Result<const wire::ModelVersion*> FindVersion(const wire::LabView& view, const std::string& which) {
  const wire::ModelVersion* newest = nullptr;
  for (const wire::ModelVersion& version : view.models) {
    if (version.id == which) return &version;
    if (version.model == which && (!newest || version.number > newest->number)) newest = &version;
  }
  if (newest) return newest;
  return Find("model", view.models, which, kId, kId, kAlways);
}

Result<const wire::Rollout*> FindRollout(const wire::LabView& view, const std::string& which) {
  return Find("rollout", view.rollouts, which, kId, kId, kAlways);
}

Result<const wire::Pipeline*> FindPipeline(const wire::LabView& view, const std::string& which) {
  return Find("pipeline", view.pipelines, which, kName, kName, kAlways);
}

}  // namespace weir::gateway
