// Fair share between keys: what each flow (a key on a tier) was charged for its tokens. The pure
// part that decides by it is batch.h; here is the memory of it.
//
// A flow that comes back starts at no less than the least charged of those that are active, so that
// being idle saves nothing up; one that leaves in debt (charged more than that) is remembered, so
// that leaving pays no debt. Source: Sheng et al., "Fairness in Serving Large Language Models",
// 2024 (the lift of a counter), section 4.1. Bound     kMostRemembered debts; beyond it the
// smallest is forgotten. Threads   one at a time.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/serve/batch.h"

namespace weir::serve {

class Flows {
 public:
  static constexpr size_t kMostRemembered = 4096;
  // Each tier has a quarter of the weight of the one above it.
  static double WeightOf(int tier);

  // A request of this key and tier begins, ends. The index is valid in between.
  int Enter(const std::string& key, int tier);
  void Leave(int flow);
  void Charge(int flow, double tokens);
  // By index; those that are not active stand there with nothing asked of them.
  std::span<const Flow> view() const { return flows_; }
  size_t active() const { return active_.size(); }

 private:
  using Name = std::pair<int, std::string>;  // tier, key
  struct Entry {
    Name name;
    int requests = 0;
  };
  double Floor() const;  // the least charged active flow, or what that was last

  std::vector<Flow> flows_;
  std::vector<Entry> entries_;  // as flows_
  std::vector<int> unused_;
  std::map<Name, int> active_;
  std::map<Name, double> debts_;
  double floor_ = 0;
};

}  // namespace weir::serve
