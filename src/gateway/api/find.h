// An object of the view by what a person calls it: its id, or its name. Living objects have unique
// names; several ended ones may share one, and then the id has to be said.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/nearest.h"
#include "base/result.h"
#include "wire/view.h"

namespace weir::gateway {

template <class T, class IdOf, class NameOf, class IsLiving>
Result<const T*> Find(const char* kind, const std::vector<T>& all, const std::string& which,
                      IdOf id_of, NameOf name_of, IsLiving is_living) {
  std::vector<const T*> named;
  for (const T& object : all) {
    if (id_of(object) == which) return &object;
    if (name_of(object) == which) named.push_back(&object);
  }
  for (const T* object : named) {
    if (is_living(*object)) return object;
  }
  if (named.size() == 1) return named.front();
  if (named.size() > 1) {
    std::string ids;
    for (const T* object : named) ids += (ids.empty() ? "" : ", ") + id_of(*object);
    return Error(Code::kInvalidArgument, fmt::format("the name {} is ambiguous: {} {}s had it ({})",
                                                     which, named.size(), kind, ids))
        .Hint("say which by its id");
  }
  std::vector<std::string> known;
  for (const T& object : all) known.push_back(name_of(object));
  const std::string nearest = NearestOf(which, known);
  return Error(Code::kNotFound, fmt::format("{} {} is not known", kind, which))
      .Hint(nearest.empty() ? fmt::format("see `weir {} list`", kind)
                            : fmt::format("did you mean {}?", nearest));
}

Result<const wire::Team*> FindTeam(const wire::LabView& view, const std::string& which);
Result<const wire::Job*> FindJob(const wire::LabView& view, const std::string& which);
Result<const wire::ServiceView*> FindService(const wire::LabView& view, const std::string& which);
Result<const wire::Loan*> FindLoan(const wire::LabView& view, const std::string& which);
Result<const wire::Lease*> FindLease(const wire::LabView& view, const std::string& which);
Result<const wire::Slot*> FindSlot(const wire::LabView& view, const std::string& which);
// Every slot of a node, "node" or "site/node"; kInvalidArgument when two sites have such a node.
Result<std::vector<std::string>> SlotsOfNode(const wire::LabView& view, const std::string& which);
Result<const wire::Dataset*> FindDataset(const wire::LabView& view, const std::string& which);
Result<const wire::ModelVersion*> FindVersion(const wire::LabView& view, const std::string& which);
Result<const wire::Rollout*> FindRollout(const wire::LabView& view, const std::string& which);
Result<const wire::Pipeline*> FindPipeline(const wire::LabView& view, const std::string& which);

bool HasEnded(wire::JobPhase phase);

}  // namespace weir::gateway
