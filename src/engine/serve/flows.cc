#include "engine/serve/flows.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace weir::serve {

double Flows::WeightOf(int tier) { return std::pow(0.25, tier - 1); }

double Flows::Floor() const {
  double least = -1;
  for (const auto& [name, flow] : active_) {
    const double charged = flows_[static_cast<size_t>(flow)].charged;
    if (least < 0 || charged < least) least = charged;
  }
  return least < 0 ? floor_ : std::max(floor_, least);
}

int Flows::Enter(const std::string& key, int tier) {
  const Name name{tier, key};
  if (const auto it = active_.find(name); it != active_.end()) {
    ++entries_[static_cast<size_t>(it->second)].requests;
    return it->second;
  }
  floor_ = Floor();
  double charged = floor_;
  if (const auto debt = debts_.find(name); debt != debts_.end()) {
    charged = std::max(charged, debt->second);
    debts_.erase(debt);
  }
  int flow = static_cast<int>(flows_.size());
  if (unused_.empty()) {
    flows_.emplace_back();
    entries_.emplace_back();
  } else {
    flow = unused_.back();
    unused_.pop_back();
  }
  flows_[static_cast<size_t>(flow)] = {.charged = charged, .weight = WeightOf(tier)};
  entries_[static_cast<size_t>(flow)] = {.name = name, .requests = 1};
  active_.emplace(name, flow);
  return flow;
}

void Flows::Leave(int flow) {
  Entry& entry = entries_[static_cast<size_t>(flow)];
  CHECK(entry.requests > 0);
  if (--entry.requests > 0) return;
  floor_ = Floor();
  active_.erase(entry.name);
  const double charged = flows_[static_cast<size_t>(flow)].charged;
  unused_.push_back(flow);
  std::erase_if(debts_, [&](const auto& debt) { return debt.second <= floor_; });
  if (active_.empty()) {
    // Nobody is left to be unfair to.
    floor_ = std::max(floor_, charged);
    return;
  }
  if (charged <= floor_) return;
  debts_[entry.name] = charged;
  if (debts_.size() > kMostRemembered) {
    debts_.erase(std::min_element(debts_.begin(), debts_.end(), [](const auto& a, const auto& b) {
      return a.second < b.second;
    }));
  }
}

void Flows::Charge(int flow, double tokens) {
  Flow& f = flows_[static_cast<size_t>(flow)];
  f.charged += tokens / f.weight;
}

}  // namespace weir::serve
