// Free slots, and the choice of which to take: a gang stays on one site, on one node where it fits.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::sched {

// "site/node/index" -> "site/node" and "site". An id without '/' is its own node and site "".
std::string_view NodeOf(std::string_view slot_id);
std::string_view SiteOf(std::string_view slot_id);

// Where each slot of the lab stands, as numbers: nodes and sites are numbered in order of name.
class Places {
 public:
  explicit Places(const std::vector<std::string_view>& slot_ids);
  int node_of(int slot) const { return node_[slot]; }
  int site_of(int slot) const { return site_[slot]; }
  int slots() const { return static_cast<int>(node_.size()); }
  int nodes() const { return nodes_; }
  int sites() const { return static_cast<int>(sites_.size()); }
  std::string_view site_name(int site) const { return sites_[site]; }

 private:
  std::vector<int> node_, site_;
  std::vector<std::string_view> sites_;
  int nodes_ = 0;
};

// A set of free slots. Every operation costs O(log slots) per slot touched.
class SlotPool {
 public:
  explicit SlotPool(const Places& places);
  void Add(int slot);
  void Remove(int slot);
  bool Has(int slot) const { return has_[slot]; }
  int64_t FreeIn(int site) const { return free_in_[site]; }
  int64_t free() const { return free_; }

  // Takes n of the site's slots out of the pool, FreeIn(site) >= n: first those of `preferred`
  // that are free, then from the node with the fewest free slots that holds the whole rest, else
  // from the nodes with the most. Sorted by slot; ties by node.
  std::vector<int> Take(int site, int64_t n, const std::vector<int>& preferred = {});

 private:
  const Places& places_;
  std::vector<bool> has_;
  std::vector<std::set<int>> on_node_;
  std::vector<std::set<std::pair<int64_t, int>>> nodes_by_free_;  // per site: (free, node)
  std::vector<int64_t> free_in_;
  int64_t free_ = 0;
  void Move(int slot, int by);
};

// Which n slots of `held` (at most held.size()) to give up so that what stays is on few nodes: from
// the nodes with the fewest of them first, the highest slots first. Sorted by slot.
std::vector<int> GiveUp(const Places& places, const std::vector<int>& held, int64_t n);

}  // namespace weir::sched
