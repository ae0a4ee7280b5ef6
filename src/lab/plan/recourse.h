// The second stage: what is best in one month of one future, given what is committed.
//
// Pools that share no demand do not meet, so the pools and demands fall into groups, and a month of
// a future into one small linear program per group (a cell):
//
//     minimise   floor price * floor missed + value * rest missed + on demand + spot
//     demand d:  sum_p speed * firm[d,p] + sum_p speed * spot speed * spot[d,p] + missed = demand
//     pool p:    sum_d firm[d,p] - on demand <= committed          dual: what one more is worth
//                sum_d spot[d,p] - spot      <= 0
//
// Thousands of cells are solved for each question that the planner asks itself, each in a few
// microseconds: a dense simplex with bounds of our own, that begins where nothing is served.
// recourse_test.cc holds it to Clp.
#pragma once

#include <span>
#include <vector>

#include "lab/plan/model.h"

namespace weir::plan {

struct Group {
  std::vector<int> pools, demands;
};
// Ordered by least pool; demands without pools and pools without demands are in groups too.
std::vector<Group> GroupsOf(const Problem& p);

struct CellAnswer {
  double cost = 0;          // an hour, floor price included
  double floor_missed = 0;  // work, of all research demands of the group
  double on_demand_usd_h = 0, spot_usd_h = 0;
  // The rest are filled on request (`detail`).
  std::vector<double> missed, on_demand, spot, used;  // by demand of the group; by pool
};

// Holds the scratch memory; one per thread.
class Cells {
 public:
  Cells(const Problem& problem, const Group& group);

  // `committed`: accelerators by pool of the group. `worth` (by pool of the group) gets dollars an
  // hour that one more would save, >= 0. `floor_worth`, if not empty, gets the work of missed floor
  // that one more would serve.
  void Solve(const Scenario& s, int month, std::span<const double> committed, CellAnswer* answer,
             std::span<double> worth, std::span<double> floor_worth, bool detail);

 private:
  void Simplex();
  void Load(const Scenario& s, int month, std::span<const double> committed);
  void Price(std::span<const double> cost);

  const Problem* problem_;
  const Group* group_;
  // Columns: firm arcs, spot arcs, missed floor and rest by demand, on demand and spot by pool,
  // slack by row. The structure does not change; bounds and costs do.
  struct Column {
    enum Kind { kFirm, kSpotArc, kFloor, kRest, kOnDemand, kSpot, kSlack } kind;
    int demand, pool;  // within the group
  };
  std::vector<Column> columns_;
  int rows_ = 0, demands_ = 0, pools_ = 0;
  std::vector<double> matrix_;                         // [row * columns + column], as posed
  std::vector<double> tab_;                            // the same, in the current basis
  std::vector<double> cost_, high_, reduced_, value_;  // by column; low is 0
  std::vector<double> rhs_;                            // by row: the basic variable's value
  std::vector<int> basis_, nonzero_;
  std::vector<char> at_high_, basic_;
  std::vector<double> floor_cost_;
};

}  // namespace weir::plan
