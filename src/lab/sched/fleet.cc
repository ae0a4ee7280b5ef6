#include "lab/sched/fleet.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace weir::sched {
namespace {

// The n lowest bits of a mask that has at least n.
uint64_t Lowest(uint64_t mask, int64_t n) {
  uint64_t out = 0;
  for (; n > 0; --n) {
    const uint64_t low = mask & (~mask + 1);
    out |= low;
    mask ^= low;
  }
  return out;
}

void SortByNode(Places* places) {
  std::sort(places->begin(), places->end(),
            [](const Place& a, const Place& b) { return a.node < b.node; });
}

uint64_t Count64(int32_t slots) { return slots >= 64 ? ~uint64_t{0} : (uint64_t{1} << slots) - 1; }

}  // namespace

int64_t SlotsIn(const Places& places) {
  int64_t n = 0;
  for (const Place& p : places) n += std::popcount(p.slots);
  return n;
}

std::vector<SlotId> SlotIds(const Places& places) {
  std::vector<SlotId> out;
  for (const Place& p : places) {
    for (uint64_t left = p.slots; left != 0; left &= left - 1) {
      out.push_back(p.node * kNodeSlots + std::countr_zero(left));
    }
  }
  return out;
}

Places PlacesOf(std::vector<SlotId> slots) {
  std::sort(slots.begin(), slots.end());
  Places out;
  for (const SlotId slot : slots) {
    const NodeId node = NodeOfSlot(slot);
    if (out.empty() || out.back().node != node) out.push_back({node, 0});
    out.back().slots |= uint64_t{1} << (slot % kNodeSlots);
  }
  return out;
}

std::string_view NameOf(Level level) {
  constexpr std::string_view kNames[] = {"node", "rack", "leaf", "spine", "site"};
  return kNames[static_cast<int>(level)];
}

// ---- sets of numbers ----

void NumberSet::Resize(size_t size) {
  levels_.clear();
  do {
    size = (size + 63) / 64;
    levels_.emplace_back(size);
  } while (size > 1);
}

void NumberSet::Insert(size_t n) {
  for (std::vector<uint64_t>& level : levels_) {
    uint64_t& word = level[n / 64];
    const bool had = word != 0;
    word |= uint64_t{1} << (n % 64);
    if (had) return;
    n /= 64;
  }
}

void NumberSet::Erase(size_t n) {
  for (std::vector<uint64_t>& level : levels_) {
    uint64_t& word = level[n / 64];
    word &= ~(uint64_t{1} << (n % 64));
    if (word != 0) return;
    n /= 64;
  }
}

bool NumberSet::Has(size_t n) const {
  return !levels_.empty() && n / 64 < levels_[0].size() && (levels_[0][n / 64] >> (n % 64) & 1);
}

int64_t NumberSet::Next(size_t from) const {
  // Up until a word has a bit at or after `from`, then down to the first below it.
  for (size_t k = 0; k < levels_.size(); ++k, from = from / 64 + 1) {
    if (from / 64 >= levels_[k].size()) return -1;
    const uint64_t rest = levels_[k][from / 64] >> (from % 64);
    if (rest == 0) continue;
    size_t at = from + static_cast<size_t>(std::countr_zero(rest));
    while (k-- > 0) at = at * 64 + static_cast<size_t>(std::countr_zero(levels_[k][at]));
    return static_cast<int64_t>(at);
  }
  return -1;
}

// ---- rows ----

void Fleet::SetNode(NodeId id, const Node& node) {
  CHECK_MSG(id >= 0 && node.slots >= 0 && node.slots <= kNodeSlots, "node={} slots={}", id,
            node.slots);
  if (id >= nodes()) rows_.resize(id + 1);
  Row& row = rows_[id];
  const Node old = row.node;
  if (old == node) return;
  if (settled_ && row.pool >= 0 && old.slots > 0 && node.slots > 0 && old.site == node.site &&
      old.type == node.type && old.spine == node.spine && old.leaf == node.leaf &&
      old.rack == node.rack && old.slots == node.slots && old.leaves == node.leaves) {
    Pool& pool = pools_[row.pool];
    const int64_t more = std::popcount(node.usable) - std::popcount(old.usable);
    pool.slots += more;
    pool.not_usable -= more;
    usable_ += more;
    not_usable_ -= more;
    row.node = node;
    Reindex(id);
    return;
  }
  row.node = node;
  row.node.usable &= Count64(node.slots);
  settled_ = false;
}

bool Fleet::Known(SlotId slot) const {
  const NodeId id = NodeOfSlot(slot);
  return slot >= 0 && Has(id) && slot % kNodeSlots < rows_[id].node.slots;
}

void Fleet::Settle() {
  if (settled_) return;
  settled_ = true;
  ++generation_;
  std::map<std::pair<int32_t, int32_t>, std::vector<NodeId>> by_pool;
  for (NodeId id = 0; id < nodes(); ++id) {
    Row& row = rows_[id];
    row.pool = row.at = -1;
    if (row.node.slots > 0) by_pool[{row.node.site, row.node.type}].push_back(id);
  }
  pools_.clear();
  index_.clear();
  index_.reserve(by_pool.size());
  usable_ = not_usable_ = free_ = 0;
  for (auto& [key, members] : by_pool) {
    const PoolId number = static_cast<PoolId>(pools_.size());
    Pool& pool = pools_.emplace_back();
    PoolIndex& index = index_.emplace_back();
    pool.site = key.first;
    pool.type = key.second;
    const auto where = [&](NodeId id) {
      const Node& n = rows_[id].node;
      return std::make_tuple(n.spine, n.leaf, n.rack, id);
    };
    std::sort(members.begin(), members.end(),
              [&](NodeId a, NodeId b) { return where(a) < where(b); });
    index.order = std::move(members);
    index.whole.Resize(index.order.size());
    for (size_t at = 0; at < index.order.size(); ++at) {
      Row& row = rows_[index.order[at]];
      const Node& n = row.node;
      const Node* before = at == 0 ? nullptr : &rows_[index.order[at - 1]].node;
      const bool spine = before == nullptr || before->spine != n.spine;
      const bool leaf = spine || before->leaf != n.leaf;
      const bool rack = leaf || before->rack != n.rack;
      const std::array<bool, kDomains> starts = {rack, leaf, spine};
      for (int d = 0; d < kDomains; ++d) {
        if (starts[d]) {
          index.domains[d].push_back({static_cast<int32_t>(at), static_cast<int32_t>(at), 0, 0, 0});
        }
        Domain& domain = index.domains[d].back();
        domain.end = static_cast<int32_t>(at) + 1;
        domain.slots += n.slots;
        index.biggest[d] = std::max(index.biggest[d], domain.slots);
        row.domain[d] = static_cast<int32_t>(index.domains[d].size()) - 1;
      }
      row.pool = number;
      row.at = static_cast<int32_t>(at);
      row.free = 0;
      const int64_t up = std::popcount(n.usable);
      pool.slots += up;
      pool.not_usable += n.slots - up;
      pool.node_slots = std::max(pool.node_slots, n.slots);
    }
    index.by_free.resize(pool.node_slots + 1);
    for (NumberSet& set : index.by_free) set.Resize(index.order.size());
    usable_ += pool.slots;
    not_usable_ += pool.not_usable;
    for (const NodeId id : index.order) Reindex(id);
  }
}

// What a node that leaves has free is counted for its pool and not indexed: it comes last.
void Fleet::Reindex(NodeId id) {
  if (!settled_) return;
  Row& row = rows_[id];
  if (row.pool < 0) return;
  const int32_t free = std::popcount(FreeMask(id));
  if (free != row.free) Count(&row, free);
}

void Fleet::Count(Row* row, int32_t free) {
  Pool& pool = pools_[row->pool];
  const int32_t old = row->free;
  row->free = free;
  free_ += free - old;
  if (row->node.leaves.is_set()) {
    pool.leaving_free += free - old;
    return;
  }
  pool.free += free - old;
  PoolIndex& index = index_[row->pool];
  if (old > 0) index.by_free[old].Erase(row->at);
  if (free > 0) index.by_free[free].Insert(row->at);
  const int64_t whole = (free == row->node.slots) - (old == row->node.slots && old > 0);
  if (whole > 0) index.whole.Insert(row->at);
  if (whole < 0) index.whole.Erase(row->at);
  for (int d = 0; d < kDomains; ++d) {
    const int32_t number = row->domain[d];
    Domain& domain = index.domains[d][number];
    if (domain.free > 0) index.by_slots[d].erase({domain.free, number});
    domain.free += free - old;
    if (domain.free > 0) index.by_slots[d].insert({domain.free, number});
    if (whole == 0) continue;
    if (domain.whole > 0) index.by_whole[d].erase({domain.whole, number});
    domain.whole += whole;
    if (domain.whole > 0) index.by_whole[d].insert({domain.whole, number});
  }
}

void Fleet::Change(const Places& places, uint64_t Row::*mask, bool set) {
  for (const Place& p : places) {
    if (p.node >= nodes()) rows_.resize(p.node + 1);
    uint64_t& bits = rows_[p.node].*mask;
    if (set) {
      bits |= p.slots;
    } else {
      bits &= ~p.slots;
    }
    Reindex(p.node);
  }
}

void Fleet::Hold(const Places& places) {
  for (const Place& p : places) {
    if (p.node >= nodes()) rows_.resize(p.node + 1);
    for (uint64_t twice = rows_[p.node].held & p.slots; twice != 0; twice &= twice - 1) {
      ++held_again_[p.node * kNodeSlots + std::countr_zero(twice)];
    }
  }
  Change(places, &Row::held, true);
}

void Fleet::Release(const Places& places) {
  if (held_again_.empty()) return Change(places, &Row::held, false);
  Places gone;
  for (Place p : places) {
    for (uint64_t left = p.slots; left != 0; left &= left - 1) {
      const int bit = std::countr_zero(left);
      const auto again = held_again_.find(p.node * kNodeSlots + bit);
      if (again == held_again_.end()) continue;
      p.slots &= ~(uint64_t{1} << bit);
      if (--again->second == 0) held_again_.erase(again);
    }
    if (p.slots != 0) gone.push_back(p);
  }
  Change(gone, &Row::held, false);
}

void Fleet::Lend(const Places& places) { Change(places, &Row::lent, true); }
void Fleet::Unlend(const Places& places) { Change(places, &Row::lent, false); }
void Fleet::Reserve(const Places& places) { Change(places, &Row::reserved, true); }
void Fleet::Unreserve(const Places& places) { Change(places, &Row::reserved, false); }

// ---- placement ----

bool Fleet::Suits(const Shape& shape, PoolId pool) const {
  const Pool& p = pools_[pool];
  return (shape.types == 0 || (p.type < 64 && (shape.types >> p.type & 1))) &&
         (shape.sites == 0 || (p.site < 64 && (shape.sites >> p.site & 1)));
}

bool Fleet::Fits(PoolId pool, int64_t n, const Shape& shape, Time until) {
  const Pool& p = pools_[pool];
  if (n > p.free + p.leaving_free || !Suits(shape, pool)) return false;
  if (n <= p.free && shape.avoid.empty() && !shape.whole_nodes && shape.widest == Level::kSite) {
    return true;
  }
  return !Find(pool, n, shape, {}, until).empty();
}

Places Fleet::Find(PoolId pool, int64_t n, const Shape& shape, const Places& preferred,
                   Time until) {
  const Pool& p = pools_[pool];
  const PoolIndex& index = index_[pool];
  if (n <= 0 || n > p.free + p.leaving_free || !Suits(shape, pool)) return {};
  if (!preferred.empty() && !shape.whole_nodes) {
    Places old;
    int64_t missing = n;
    for (const Place& place : preferred) {
      if (missing == 0 || !Has(place.node) || rows_[place.node].pool != pool) continue;
      const Time leaves = rows_[place.node].node.leaves;
      if (leaves.is_set() && leaves < until) continue;
      if (std::binary_search(shape.avoid.begin(), shape.avoid.end(), place.node)) continue;
      const uint64_t free = place.slots & FreeMask(place.node);
      const uint64_t take = Lowest(free, std::min<int64_t>(missing, std::popcount(free)));
      if (take == 0) continue;
      old.push_back({place.node, take});
      missing -= std::popcount(take);
    }
    if (!old.empty()) {
      if (missing > 0) {
        Reserve(old);
        Places rest = Find(pool, missing, shape, {}, until);
        Unreserve(old);
        if (rest.empty()) old.clear();
        for (const Place& place : rest) {
          const auto same = std::find_if(old.begin(), old.end(),
                                         [&](const Place& o) { return o.node == place.node; });
          if (same != old.end()) {
            same->slots |= place.slots;
          } else {
            old.push_back(place);
          }
        }
        SortByNode(&old);
      }
      if (!old.empty() && (shape.widest == Level::kSite || SpreadOf(old).level <= shape.widest)) {
        return old;
      }
    }
  }
  if (shape.avoid.empty() && n <= p.free) {
    Places found = FindIndexed(index, n, shape);
    if (!found.empty()) return found;
  }
  if (!shape.avoid.empty() || p.leaving_free > 0) return FindSlowly(index, n, shape, until);
  return {};
}

Places Fleet::WholeNodes(const PoolIndex& index, int32_t begin, int32_t end, int64_t n) const {
  Places out;
  for (int64_t at = index.whole.Next(begin); n > 0 && at >= 0 && at < end;
       at = index.whole.Next(at + 1)) {
    const NodeId id = index.order[at];
    out.push_back({id, FreeMask(id)});
    n -= rows_[id].node.slots;
  }
  if (n != 0) return {};
  SortByNode(&out);
  return out;
}

// n of the free slots at positions begin..end, on as few nodes as may be: the fullest first, for
// the rest the node with the fewest free slots that holds it.
Places Fleet::Gather(const PoolIndex& index, int32_t begin, int32_t end, int64_t n) const {
  Places out;
  const auto take = [&](int64_t at, int64_t slots) {
    const NodeId id = index.order[at];
    out.push_back({id, Lowest(FreeMask(id), slots)});
    n -= slots;
  };
  for (int64_t free = std::ssize(index.by_free) - 1; free > 0 && n > 0; --free) {
    for (int64_t at = index.by_free[free].Next(begin); n > 0 && at >= 0 && at < end;
         at = index.by_free[free].Next(at + 1)) {
      if (free <= n) {
        take(at, free);
        continue;
      }
      for (int64_t fewer = n; fewer < free && n > 0; ++fewer) {
        const int64_t better = index.by_free[fewer].Next(begin);
        if (better >= 0 && better < end) take(better, n);
      }
      if (n > 0) take(at, n);
    }
  }
  if (n > 0) return {};
  SortByNode(&out);
  return out;
}

Places Fleet::FindIndexed(const PoolIndex& index, int64_t n, const Shape& shape) const {
  const int32_t all = static_cast<int32_t>(index.order.size());
  const int64_t node_slots = std::ssize(index.by_free) - 1;
  if (n <= node_slots) {
    if (shape.whole_nodes) {
      for (int64_t at = index.whole.Next(0); at >= 0; at = index.whole.Next(at + 1)) {
        const NodeId id = index.order[at];
        if (rows_[id].node.slots == n) return {{id, FreeMask(id)}};
      }
      return {};
    }
    for (int64_t free = n; free <= node_slots; ++free) {
      const int64_t at = index.by_free[free].Next(0);
      if (at < 0) continue;
      return {{index.order[at], Lowest(FreeMask(index.order[at]), n)}};
    }
  }
  if (shape.widest == Level::kNode) return {};
  const int64_t whole = (n + node_slots - 1) / node_slots;
  const auto in = [&](const Domain& d) {
    return shape.whole_nodes ? WholeNodes(index, d.begin, d.end, n)
                             : Gather(index, d.begin, d.end, n);
  };
  // Rack and leaf have the same links: whole nodes of a leaf before splinters of a rack.
  for (const bool only_whole : {true, false}) {
    for (int d = 0; d < 2 && d < static_cast<int>(shape.widest); ++d) {
      const auto& sets = only_whole ? index.by_whole[d] : index.by_slots[d];
      const auto fit = sets.lower_bound({only_whole ? whole : n, -1});
      if (fit == sets.end() || (shape.whole_nodes && !only_whole)) continue;
      if (Places found = in(index.domains[d][fit->second]); !found.empty()) return found;
    }
  }
  if (shape.widest >= Level::kSpine) {
    for (const bool only_whole : {true, false}) {
      const auto& sets = only_whole ? index.by_whole[2] : index.by_slots[2];
      const auto fit = sets.lower_bound({only_whole ? whole : n, -1});
      if (fit == sets.end() || (shape.whole_nodes && !only_whole)) continue;
      if (Places found = in(index.domains[2][fit->second]); !found.empty()) return found;
    }
  }
  if (shape.widest < Level::kSite) return {};
  if (shape.whole_nodes) return WholeNodes(index, 0, all, n);
  // Over the whole site: leaf by leaf, those with the most free slots first, so few leaves talk.
  Places out;
  for (auto it = index.by_slots[1].rbegin(); it != index.by_slots[1].rend() && n > 0; ++it) {
    const Domain& leaf = index.domains[1][it->second];
    const int64_t some = std::min(n, leaf.free);
    const Places part = Gather(index, leaf.begin, leaf.end, some);
    out.insert(out.end(), part.begin(), part.end());
    n -= some;
  }
  if (n > 0) return {};
  SortByNode(&out);
  return out;
}

// By looking at every node: for shapes that avoid some, and where nodes leave.
Places Fleet::FindSlowly(const PoolIndex& index, int64_t n, const Shape& shape, Time until) const {
  struct Offer {
    NodeId id;
    uint64_t slots;
    bool leaves;
  };
  const auto offers_in = [&](int32_t begin, int32_t end) {
    std::vector<Offer> offers;
    for (int32_t at = begin; at < end; ++at) {
      const NodeId id = index.order[at];
      const Node& node = rows_[id].node;
      const uint64_t free = FreeMask(id);
      if (free == 0 || (node.leaves.is_set() && node.leaves < until) ||
          (shape.whole_nodes && (std::popcount(free) != node.slots || node.slots > n)) ||
          std::binary_search(shape.avoid.begin(), shape.avoid.end(), id)) {
        continue;
      }
      offers.push_back({id, free, node.leaves.is_set()});
    }
    return offers;
  };
  const auto choose = [&](std::vector<Offer> offers) -> Places {
    int64_t sum = 0;
    const Offer* one = nullptr;  // holds all, with the fewest free slots; one that stays first
    for (const Offer& o : offers) {
      const int64_t free = std::popcount(o.slots);
      sum += free;
      if (free < n) continue;
      if (one == nullptr ||
          std::make_pair(o.leaves, free) <
              std::make_pair(one->leaves, std::int64_t{std::popcount(one->slots)})) {
        one = &o;
      }
    }
    if (one != nullptr) return {{one->id, Lowest(one->slots, n)}};
    if (sum < n || shape.widest == Level::kNode) return {};
    std::stable_sort(offers.begin(), offers.end(), [](const Offer& a, const Offer& b) {
      return std::make_pair(a.leaves, -std::popcount(a.slots)) <
             std::make_pair(b.leaves, -std::popcount(b.slots));
    });
    Places out;
    int64_t missing = n;
    for (const Offer& o : offers) {
      if (missing <= 0) break;
      const int64_t some = std::min<int64_t>(missing, std::popcount(o.slots));
      if (shape.whole_nodes && some < std::popcount(o.slots)) continue;
      out.push_back({o.id, Lowest(o.slots, some)});
      missing -= some;
    }
    if (missing > 0) out.clear();
    SortByNode(&out);
    return out;
  };
  for (int d = 0; d < kDomains && d < static_cast<int>(shape.widest); ++d) {
    for (const Domain& domain : index.domains[d]) {
      if (domain.slots < n) continue;
      if (Places found = choose(offers_in(domain.begin, domain.end)); !found.empty()) return found;
    }
  }
  if (shape.widest == Level::kNode || shape.widest == Level::kSite) {
    return choose(offers_in(0, static_cast<int32_t>(index.order.size())));
  }
  return {};
}

Spread Fleet::SpreadOf(const Places& places, const Bandwidths& bandwidths) const {
  Spread spread;
  spread.nodes = std::ssize(places);
  if (places.empty()) return spread;
  const Row& first = rows_[places.front().node];
  for (const Place& p : places) {
    const Row& row = rows_[p.node];
    Level apart = Level::kSite;
    if (p.node == places.front().node) {
      apart = Level::kNode;
    } else if (row.pool == first.pool) {
      for (int d = kDomains; d-- > 0;) {
        if (row.domain[d] == first.domain[d]) apart = static_cast<Level>(d + 1);
      }
    }
    spread.level = std::max(spread.level, apart);
  }
  Level best = Level::kSite;
  if (first.pool >= 0) {
    const int64_t n = SlotsIn(places);
    const PoolIndex& index = index_[first.pool];
    for (int d = kDomains; d-- > 0;) {
      if (index.biggest[d] >= n) best = static_cast<Level>(d + 1);
    }
    if (n <= pools_[first.pool].node_slots) best = Level::kNode;
  }
  const auto of = [&](Level level) { return bandwidths.gb_per_s[static_cast<size_t>(level)]; };
  spread.gb_per_s = of(spread.level);
  spread.lost = spread.level <= best ? 0 : 1 - of(spread.level) / of(best);
  return spread;
}

Places Fleet::GiveUp(const Places& held, int64_t n) {
  Places order = held, out;
  std::sort(order.begin(), order.end(), [](const Place& a, const Place& b) {
    const int na = std::popcount(a.slots), nb = std::popcount(b.slots);
    return na != nb ? na < nb : a.node > b.node;
  });
  for (const Place& p : order) {
    uint64_t give = 0;
    for (uint64_t left = p.slots; n > 0 && left != 0; --n) {
      const uint64_t high = uint64_t{1} << (63 - std::countl_zero(left));
      give |= high;
      left ^= high;
    }
    if (give != 0) out.push_back({p.node, give});
  }
  SortByNode(&out);
  return out;
}

}  // namespace weir::sched
