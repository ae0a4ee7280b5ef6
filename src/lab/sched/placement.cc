#include "lab/sched/placement.h"

#include <algorithm>
#include <map>

#include "base/check.h"

namespace weir::sched {

std::string_view NodeOf(std::string_view slot_id) { return slot_id.substr(0, slot_id.rfind('/')); }

std::string_view SiteOf(std::string_view slot_id) {
  const size_t slash = slot_id.find('/');
  return slash == std::string_view::npos ? std::string_view() : slot_id.substr(0, slash);
}

Places::Places(const std::vector<std::string_view>& slot_ids) {
  std::map<std::string_view, int> node, site;
  for (std::string_view id : slot_ids) {
    node.emplace(NodeOf(id), 0);
    site.emplace(SiteOf(id), 0);
  }
  for (auto& [name, number] : node) number = nodes_++;
  for (auto& [name, number] : site) {
    number = sites();
    sites_.push_back(name);
  }
  for (std::string_view id : slot_ids) {
    node_.push_back(node[NodeOf(id)]);
    site_.push_back(site[SiteOf(id)]);
  }
}

SlotPool::SlotPool(const Places& places)
    : places_(places),
      has_(places.slots()),
      on_node_(places.nodes()),
      nodes_by_free_(places.sites()) {
  free_in_.resize(places.sites());
}

void SlotPool::Move(int slot, int by) {
  const int node = places_.node_of(slot);
  const int site = places_.site_of(slot);
  auto& order = nodes_by_free_[site];
  std::set<int>& here = on_node_[node];
  order.erase({static_cast<int64_t>(here.size()), node});
  if (by > 0) {
    here.insert(slot);
  } else {
    here.erase(slot);
  }
  if (!here.empty()) order.insert({static_cast<int64_t>(here.size()), node});
  free_in_[site] += by;
  free_ += by;
}

void SlotPool::Add(int slot) {
  if (has_[slot]) return;
  has_[slot] = true;
  Move(slot, 1);
}

void SlotPool::Remove(int slot) {
  if (!has_[slot]) return;
  has_[slot] = false;
  Move(slot, -1);
}

std::vector<int> SlotPool::Take(int site, int64_t n, const std::vector<int>& preferred) {
  CHECK_MSG(FreeIn(site) >= n, "site={} free={} n={}", places_.site_name(site), FreeIn(site), n);
  std::vector<int> taken;
  const auto take = [&](int slot) {
    Remove(slot);
    taken.push_back(slot);
    --n;
  };
  for (int slot : preferred) {
    if (n > 0 && Has(slot) && places_.site_of(slot) == site) take(slot);
  }
  while (n > 0) {
    const auto& order = nodes_by_free_[site];
    auto it = order.lower_bound({n, -1});  // the fewest free that hold the rest
    if (it == order.end()) it = order.lower_bound({order.rbegin()->first, -1});  // else the most
    const int node = it->second;
    while (n > 0 && !on_node_[node].empty()) take(*on_node_[node].begin());
  }
  std::sort(taken.begin(), taken.end());
  return taken;
}

std::vector<int> GiveUp(const Places& places, const std::vector<int>& held, int64_t n) {
  std::map<int, int64_t> on_node;
  for (int slot : held) ++on_node[places.node_of(slot)];
  std::vector<int> order = held;
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    const int na = places.node_of(a), nb = places.node_of(b);
    if (on_node[na] != on_node[nb]) return on_node[na] < on_node[nb];
    return na != nb ? na > nb : a > b;
  });
  order.resize(std::min<size_t>(order.size(), static_cast<size_t>(std::max<int64_t>(n, 0))));
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace weir::sched
