// What the policies that come from other systems have in common: a line of waiting jobs, product's
// wish for slots, and ways of making room. Each policy is a few choices among these.
//
// Product: services ask for the same number of replicas under every online policy, by the sizing
// that Weir uses (sched/sizing.h), so that what differs is who gives way.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "lab/sched/turn.h"

namespace weir::sim {

// Waiting jobs in an order of the policy's own, kept from row to row. Jobs of one size and shape
// are one queue: if its first finds no slots, the others do not either.
class Line {
 public:
  struct Key {
    int32_t less_priority = 0;
    int64_t order = 0;
    sched::JobId job = -1;
    auto operator<=>(const Key&) const = default;
  };
  using Order = std::function<int64_t(const sched::World&, sched::JobId)>;
  // `order`: lower goes first; by submit time unless given. Job ids are in order of submission.
  explicit Line(Order order = nullptr) : order_(std::move(order)) {}

  void Update(const std::vector<sched::JobId>& changed, const sched::World& world);
  bool empty() const { return keys_.empty(); }
  const std::set<Key>& all() const { return keys_; }
  // The first of each queue, in order.
  std::vector<Key> Heads() const;
  void Remove(sched::JobId job);

 private:
  using Need = std::tuple<int32_t, int32_t>;  // shape, slots
  Order order_;
  std::set<Key> keys_;
  std::map<Need, std::set<Key>> by_need_;
  std::map<sched::JobId, std::pair<Need, Key>> known_;
};

// Running jobs, in order of their newest start.
class Running {
 public:
  void Update(const std::vector<sched::JobId>& changed, const sched::World& world);
  const std::set<std::pair<Time, sched::JobId>>& by_start() const { return by_start_; }
  int64_t slots() const { return slots_; }  // held by jobs that run and are not being stopped

 private:
  std::set<std::pair<Time, sched::JobId>> by_start_;
  std::map<sched::JobId, std::pair<Time, int64_t>> known_;
  int64_t slots_ = 0;
};

// Slots by who may use them, for policies that divide the fleet: product owns its guarantee.
struct Split {
  int64_t product_own = 0;
  int64_t research = 0;      // the rest
  int64_t product_held = 0;  // by replicas, those that drain included
  int64_t free = 0;
};
Split SplitOf(const sched::World& world);

enum class ProductTakes {
  kOwn,   // never more than its own
  kIdle,  // what nobody uses too
  kAll,   // room is made for it
};

// Starts and stops replicas so that each service has what it asks for, as far as `takes` and what
// is free allow. Returns the slots for which room is to be made: those that it may have and that
// are missing, less those that jobs being stopped will free. kIdle: 0.
int64_t ServeProduct(sched::Turn& turn, ProductTakes takes);

// Replicas that the service should have now: more at once, fewer once it is calm.
int64_t ReplicasWanted(const sched::Turn& turn, sched::ServiceId service, int64_t held,
                       int64_t ready);

struct RoomOptions {
  bool shrink = false;  // a job above its least size gives what it can and runs on
  bool spare = false;   // at the end, jobs that turn out not to be needed are spared
};
// Stops running jobs, the first of `order` first, until `need` slots come free. Returns those that
// do.
int64_t MakeRoom(sched::Turn& turn, int64_t need, const std::vector<sched::JobId>& order,
                 RoomOptions options, const char* why);
// Running jobs, the newest start first.
std::vector<sched::JobId> NewestFirst(const Running& running);

// Slots that jobs being stopped will free.
int64_t SlotsComing(const sched::World& world);

// What is free for research: all of it, or all but what product owns and does not use now.
int64_t LeftForResearch(const sched::World& world, bool lends_products_own);

// Starts waiting jobs in order as long as they fit, within `left` slots.
//   kStrict    nobody passes a job that does not fit
//   kEasy      the first job that does not fit gets a reservation at the earliest instant at which,
//              by everybody's limits, enough is free; others pass it if they are over by then, or
//              fit beside it. Limits are what jobs asked for, else the site's default.
//              Source: Lifka, "The ANL/IBM SP scheduling system", 1995; Mu'alem and Feitelson,
//              2001.
//   kBestEffort  whoever fits starts
enum class Passing { kStrict, kEasy, kBestEffort };
void StartInOrder(sched::Turn& turn, Line& line, Passing passing, int64_t left);

// Starts the job on n slots wherever it fits best.
bool StartAnywhere(sched::Turn& turn, sched::JobId job, int64_t n);

}  // namespace weir::sim
