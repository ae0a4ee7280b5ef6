// The accelerators as the scheduler sees them: nodes of up to 64 slots, where they stand, and which
// of their slots are free; and the placement of gangs on them.
//
// A pool is all nodes of one site and one accelerator type: a gang never spans two pools. Within a
// pool nodes stand in a tree: rack in leaf in spine in site. A slot is free if it is usable, held
// by nobody and on no loan.
//
// Index     per pool, a set of nodes for each number of free slots; per rack, leaf and spine the
//           whole free nodes and the free slots. Setting, holding or releasing the slots of one
//           node costs O(log nodes); so does placing a gang on one node. A gang of k nodes costs
//           O(k log nodes). Adding nodes marks their pool; it is sorted before its next use.
// Order     every answer follows from the rows alone, never from the order in which they came.
// Packing   a gang that fits into one node goes to the node with the fewest free slots that holds
// it,
//           so that whole nodes stay free. A bigger one goes to the narrowest rack, leaf or spine
//           that holds it, of those to the one with the fewest whole free nodes; whole nodes first.
// Threads   one at a time. No clock, no I/O.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/units.h"

namespace weir::sched {

using NodeId = int32_t;  // given by the caller, small numbers; ties break by it
using PoolId = int32_t;
using SlotId = int32_t;  // node * kNodeSlots + index
inline constexpr int kNodeSlots = 64;
inline constexpr NodeId NodeOfSlot(SlotId slot) { return slot / kNodeSlots; }

// Some slots of one node: bit i is slot i.
struct Place {
  NodeId node = 0;
  uint64_t slots = 0;
  bool operator==(const Place&) const = default;
};
using Places = std::vector<Place>;  // by node, no node twice, no empty mask
int64_t SlotsIn(const Places& places);
std::vector<SlotId> SlotIds(const Places& places);  // ascending
Places PlacesOf(std::vector<SlotId> slots);         // any order, doubles dropped

struct Node {
  int32_t site = 0, type = 0;             // the caller's numbers
  int32_t spine = 0, leaf = 0, rack = 0;  // numbers of their own kind within the site
  int32_t slots = 0;                      // 0..kNodeSlots
  uint64_t usable = 0;                    // up, not cordoned, not draining
  Time leaves;  // it goes away soon, then: contract end, maintenance, spot notice; 0 = it stays
  bool operator==(const Node&) const = default;
};

enum class Level : uint8_t { kNode, kRack, kLeaf, kSpine, kSite };
inline constexpr int kLevels = 5;
std::string_view NameOf(Level level);

// All-reduce bandwidth of one slot inside a domain of each level, relative to that inside a node.
// Defaults: 8 slots on NVLink (450 GB/s each way), one 400 Gb/s adapter a slot (50 GB/s) in a rack
// and leaf, spines oversubscribed 2:1, and 4:1 between spines. Only the ratios matter.
struct Bandwidths {
  std::array<double, kLevels> gb_per_s = {450, 50, 50, 25, 12.5};
};

// How far apart the slots of a gang are, and what that costs against the best that a gang of its
// size can have in this pool.
struct Spread {
  Level level = Level::kNode;  // the narrowest domain that holds all of it
  int64_t nodes = 0;
  double gb_per_s = 0;  // of the narrowest link that it crosses, for each slot
  double lost = 0;      // 0..1 of the best possible for this size
};

// Where a job may run. Equal shapes are interned by World.
struct Shape {
  uint64_t types = 0;           // bit t: accelerator type t will do; 0 = any
  uint64_t sites = 0;           // bit s: site s will do; 0 = any
  std::vector<float> speed;     // by type: throughput relative to the others; empty = equal
  std::vector<NodeId> avoid;    // sorted
  Level widest = Level::kSite;  // no further apart than this
  bool whole_nodes = false;     // nobody else on its nodes: sizes are whole numbers of them
  auto operator<=>(const Shape&) const = default;
};

// A set of small numbers with O(log64 n) insert, erase and "first at or after".
class NumberSet {
 public:
  void Resize(size_t size);
  void Insert(size_t n);
  void Erase(size_t n);
  bool Has(size_t n) const;
  // The smallest member >= from; -1 if none.
  int64_t Next(size_t from) const;

 private:
  std::vector<std::vector<uint64_t>> levels_;  // [0] one bit a number, [k] one bit a word of [k-1]
};

class Fleet {
 public:
  // A row changes or (Node{}) goes; holds stay with the slots' numbers.
  void SetNode(NodeId id, const Node& node);
  const Node& node(NodeId id) const { return rows_[id].node; }
  NodeId nodes() const { return static_cast<NodeId>(rows_.size()); }
  bool Has(NodeId id) const { return id >= 0 && id < nodes() && rows_[id].node.slots > 0; }

  // Counted: a slot may be held twice (a replica and the one that it replaces).
  void Hold(const Places& places);
  void Release(const Places& places);
  // On a loan: kept for its service whoever holds it.
  void Lend(const Places& places);
  void Unlend(const Places& places);
  // Not for anybody until given back: what a decision sets aside, what is about to leave.
  void Reserve(const Places& places);
  void Unreserve(const Places& places);

  bool Usable(SlotId slot) const { return Bit(rows_[NodeOfSlot(slot)].node.usable, slot); }
  bool Held(SlotId slot) const { return Bit(rows_[NodeOfSlot(slot)].held, slot); }
  bool Lent(SlotId slot) const { return Bit(rows_[NodeOfSlot(slot)].lent, slot); }
  bool Free(SlotId slot) const { return Bit(FreeMask(NodeOfSlot(slot)), slot); }
  bool Known(SlotId slot) const;
  uint64_t FreeMask(NodeId id) const {
    const Row& r = rows_[id];
    return r.node.usable & ~(r.held | r.lent | r.reserved);
  }

  struct Pool {
    int32_t site = 0, type = 0;
    int64_t slots = 0;         // usable
    int64_t free = 0;          // on nodes that stay
    int64_t leaving_free = 0;  // on nodes that leave
    int64_t not_usable = 0;
    int32_t node_slots = 0;  // of its biggest node
  };
  // Numbered in order of (site, type), so the numbers change when a pool comes or goes;
  // generation() tells. Call after changes of nodes; all const members need it.
  void Settle();
  int64_t generation() const { return generation_; }
  const std::vector<Pool>& pools() const { return pools_; }
  PoolId PoolOf(NodeId id) const { return rows_[id].pool; }
  bool Suits(const Shape& shape, PoolId pool) const;
  int64_t usable() const { return usable_; }
  int64_t not_usable() const { return not_usable_; }
  int64_t free() const { return free_; }  // with those on nodes that leave

  // n free slots of the pool as the shape wants them; empty if there are none such. First those of
  // `preferred` that are free. Nothing is held by this. Nodes that leave come last, those that
  // leave before `until` not at all. A shape that avoids nodes, and nodes that leave, cost
  // O(nodes).
  Places Find(PoolId pool, int64_t n, const Shape& shape, const Places& preferred = {},
              Time until = {});
  // Whether Find would succeed; at once for a shape that asks for nothing special.
  bool Fits(PoolId pool, int64_t n, const Shape& shape, Time until = {});

  Spread SpreadOf(const Places& places, const Bandwidths& bandwidths = {}) const;
  // Which n slots to give up so that what stays is on few nodes: from the nodes with the fewest of
  // them first, then the highest slots.
  static Places GiveUp(const Places& held, int64_t n);

 private:
  static constexpr int kDomains = 3;  // rack, leaf, spine
  struct Row {
    Node node;
    uint64_t held = 0, lent = 0, reserved = 0;
    PoolId pool = -1;
    int32_t at = -1;  // position within its pool
    std::array<int32_t, kDomains> domain = {-1, -1, -1};
    int32_t free = 0;  // as the index has it
  };
  struct Domain {
    int32_t begin = 0, end = 0;   // positions
    int64_t slots = 0;            // of all its nodes
    int64_t free = 0, whole = 0;  // as by_slots, by_whole have it
  };
  struct PoolIndex {
    std::vector<NodeId> order;       // position -> node, by (spine, leaf, rack, node)
    std::vector<NumberSet> by_free;  // [free slots]: positions of nodes that stay
    NumberSet whole;                 // positions of those with all slots free
    std::array<std::vector<Domain>, kDomains> domains;
    std::array<int64_t, kDomains> biggest = {};  // slots of the biggest domain
    // (whole free nodes, domain) and (free slots, domain)
    std::array<std::set<std::pair<int64_t, int32_t>>, kDomains> by_whole, by_slots;
  };
  static bool Bit(uint64_t mask, SlotId slot) { return mask >> (slot % kNodeSlots) & 1; }
  void Reindex(NodeId id);
  void Count(Row* row, int32_t free);
  void Change(const Places& places, uint64_t Row::*mask, bool set);
  Places FindIndexed(const PoolIndex& index, int64_t n, const Shape& shape) const;
  Places Gather(const PoolIndex& index, int32_t begin, int32_t end, int64_t n) const;
  Places WholeNodes(const PoolIndex& index, int32_t begin, int32_t end, int64_t n) const;
  Places FindSlowly(const PoolIndex& index, int64_t n, const Shape& shape, Time until) const;

  std::vector<Row> rows_;
  std::map<SlotId, int> held_again_;  // holders of a slot beyond the first
  std::vector<Pool> pools_;
  std::vector<PoolIndex> index_;
  bool settled_ = true;
  int64_t generation_ = 0;
  int64_t usable_ = 0, not_usable_ = 0, free_ = 0;
};

}  // namespace weir::sched
