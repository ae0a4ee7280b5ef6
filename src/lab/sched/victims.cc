#include "lab/sched/victims.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <numeric>
#include <tuple>

namespace weir::sched {
namespace {

VictimCost Plus(const VictimCost& a, const VictimCost& b) {
  return {a.broken + b.broken, a.slot_s + b.slot_s};
}

VictimCost CostOfJob(const VictimJob& job, How how) {
  return {how == How::kBreak, job.lost_slot_s + (how == How::kPause ? job.pause_slot_s : 0)};
}

// The k = 1..y terms summed: y * burden + y (y + 1) / 2.
double SpreadCost(const VictimTeam& team, double n, double spread_slot_s) {
  return spread_slot_s * (n * team.burden + n * (n + 1) / 2) / std::max(team.share, 1.0);
}

struct Cell {
  bool possible = false;
  VictimCost cost;
};
using Cells = std::vector<Cell>;  // by slots given, exactly

void Improve(Cell* cell, const VictimCost& cost, bool* changed) {
  *changed = !cell->possible || Less(cost, cell->cost);
  if (*changed) *cell = {true, cost};
}

// One team's own jobs. step[j][y]: what job j gives in the cheapest way for jobs 0..j to give y.
struct Knapsack {
  std::vector<int> jobs;
  Cells best;
  std::vector<std::vector<std::pair<int32_t, How>>> step;

  Knapsack(const std::vector<VictimJob>& all, std::vector<int> mine, int64_t limit)
      : jobs(std::move(mine)), best(1) {
    best[0].possible = true;
    for (int j : jobs) Add(all[j], limit);
  }

  void Add(const VictimJob& job, int64_t limit) {
    const int64_t before = static_cast<int64_t>(best.size()) - 1;
    const bool whole = job.can_pause || job.can_break;
    const int64_t size = std::min(limit, before + std::max(job.can_shrink, whole ? job.slots : 0));
    Cells next = best;
    next.resize(size + 1);
    std::vector<std::pair<int32_t, How>> how(size + 1);
    bool changed = false;
    // Whole: from y - slots.
    if (whole) {
      const How way = job.can_pause ? How::kPause : How::kBreak;
      for (int64_t y = job.slots; y <= size; ++y) {
        if (y - job.slots > before || !best[y - job.slots].possible) continue;
        Improve(&next[y], Plus(best[y - job.slots].cost, CostOfJob(job, way)), &changed);
        if (changed) how[y] = {static_cast<int32_t>(job.slots), way};
      }
    }
    // Shrink: from the cheapest of y - can_shrink .. y - 1; `window` holds candidates, best first.
    std::deque<int64_t> window;
    for (int64_t y = 1; job.can_shrink > 0 && y <= size; ++y) {
      if (y - 1 <= before && best[y - 1].possible) {
        while (!window.empty() && Less(best[y - 1].cost, best[window.back()].cost)) {
          window.pop_back();
        }
        window.push_back(y - 1);
      }
      while (!window.empty() && window.front() < y - job.can_shrink) window.pop_front();
      if (window.empty()) continue;
      const int64_t from = window.front();
      Improve(&next[y], Plus(best[from].cost, CostOfJob(job, How::kShrink)), &changed);
      if (changed) how[y] = {static_cast<int32_t>(y - from), How::kShrink};
    }
    best = std::move(next);
    step.push_back(std::move(how));
  }

  void Collect(int64_t y, std::vector<Victim>* out) const {
    for (size_t k = jobs.size(); k-- > 0;) {
      if (y >= static_cast<int64_t>(step[k].size())) continue;
      const auto [give, how] = step[k][y];
      if (give > 0) out->push_back({jobs[k], give, how});
      y -= give;
    }
  }
};

// The forest of teams, best choice per subtree and amount. Sizes and caps are in units of `scale`
// slots.
class Exact {
 public:
  Exact(const std::vector<VictimTeam>& teams, const std::vector<VictimJob>& jobs, int64_t limit,
        double spread_slot_s, int64_t scale)
      : teams_(teams),
        jobs_(jobs),
        limit_(limit),
        spread_slot_s_(spread_slot_s),
        scale_(static_cast<double>(scale)) {
    jobs_of_.resize(teams.size());
    children_.resize(teams.size());
    for (int j = 0; j < static_cast<int>(jobs.size()); ++j) jobs_of_[jobs[j].team].push_back(j);
    std::vector<int> roots;
    for (int t = 0; t < static_cast<int>(teams.size()); ++t) {
      (teams[t].parent < 0 ? roots : children_[teams[t].parent]).push_back(t);
    }
    nodes_.resize(teams.size());
    for (int t : roots) Solve(t);
    top_.children = roots;
    Cells none(1);
    none[0].possible = true;
    Merge(&top_, none, limit_);
  }

  const Cells& best() const { return top_.best; }

  std::vector<Victim> Choice(int64_t y) const {
    std::vector<Victim> out;
    Collect(top_, y, &out);
    std::sort(out.begin(), out.end(),
              [](const Victim& a, const Victim& b) { return a.job < b.job; });
    return out;
  }

 private:
  struct Node {
    std::vector<Knapsack> own;  // none or one
    std::vector<int> children;
    Cells best;
    std::vector<std::vector<int32_t>> child_gives;  // [child][y]
  };
  const std::vector<VictimTeam>& teams_;
  const std::vector<VictimJob>& jobs_;
  int64_t limit_;
  double spread_slot_s_, scale_;
  std::vector<std::vector<int>> jobs_of_, children_;
  std::vector<Node> nodes_;
  Node top_;

  void Solve(int t) {  // recursion as deep as the tree of teams
    Node& node = nodes_[t];
    const int64_t cap = std::clamp<int64_t>(teams_[t].cap, 0, limit_);
    for (int c : children_[t]) Solve(c);
    node.children = children_[t];
    node.own.emplace_back(jobs_, jobs_of_[t], cap);
    Cells own = node.own[0].best;
    for (size_t y = 0; y < own.size(); ++y) {
      own[y].cost.slot_s += SpreadCost(teams_[t], static_cast<double>(y) * scale_, spread_slot_s_);
    }
    Merge(&node, own, cap);
  }

  void Merge(Node* node, Cells row, int64_t cap) {
    for (int c : node->children) {
      const Cells& child = nodes_[c].best;
      const int64_t size =
          std::min<int64_t>(cap, static_cast<int64_t>(row.size() + child.size()) - 2);
      Cells sum(size + 1);
      std::vector<int32_t> gives(size + 1);
      for (int64_t b = 0; b < static_cast<int64_t>(child.size()) && b <= size; ++b) {
        if (!child[b].possible) continue;
        for (int64_t a = 0; a < static_cast<int64_t>(row.size()) && a + b <= size; ++a) {
          if (!row[a].possible) continue;
          bool changed = false;
          Improve(&sum[a + b], Plus(row[a].cost, child[b].cost), &changed);
          if (changed) gives[a + b] = static_cast<int32_t>(b);
        }
      }
      node->child_gives.push_back(std::move(gives));
      row = std::move(sum);
    }
    node->best = std::move(row);
  }

  void Collect(const Node& node, int64_t y, std::vector<Victim>* out) const {
    for (size_t k = node.children.size(); k-- > 0;) {
      const int64_t b = node.child_gives[k][y];
      Collect(nodes_[node.children[k]], b, out);
      y -= b;
    }
    if (!node.own.empty()) node.own[0].Collect(y, out);
  }
};

int64_t Units(const VictimNeed& need, int64_t given) {
  const int64_t most = (need.offset + need.slots) / need.unit;
  return std::min((need.offset + given) / need.unit, most);
}

// Breaks last; by cost per slot, or the biggest first (few of them).
enum class Prefer { kCheap, kBig };
std::vector<Victim> Greedy(const std::vector<VictimTeam>& teams, const std::vector<VictimJob>& jobs,
                           const VictimNeed& need, Prefer prefer) {
  struct Option {
    std::tuple<bool, int64_t, double, size_t> key;  // in the order of preference, then as they came
    int job;
    How how;
    int64_t slots;
  };
  std::vector<Option> options;
  const auto offer = [&](int job, How how, int64_t slots) {
    const int64_t use = std::max<int64_t>(std::min(slots, need.slots), 1);
    const double price = CostOfJob(jobs[job], how).slot_s / static_cast<double>(use);
    options.push_back(
        {{how == How::kBreak, prefer == Prefer::kBig ? -use : 0, price, options.size()},
         job,
         how,
         slots});
  };
  for (int j = 0; j < static_cast<int>(jobs.size()); ++j) {
    if (jobs[j].can_shrink > 0) offer(j, How::kShrink, jobs[j].can_shrink);
    if (jobs[j].can_pause) offer(j, How::kPause, jobs[j].slots);
    if (!jobs[j].can_pause && jobs[j].can_break) offer(j, How::kBreak, jobs[j].slots);
  }
  // Few of many are looked at, so they are put in order one by one.
  const auto later = [](const Option& a, const Option& b) { return a.key > b.key; };
  std::make_heap(options.begin(), options.end(), later);
  std::vector<int64_t> left;
  for (const VictimTeam& t : teams) left.push_back(std::max<int64_t>(t.cap, 0));
  std::vector<Victim> chosen(jobs.size());
  int64_t given = 0;
  while (!options.empty() && given < need.slots) {
    std::pop_heap(options.begin(), options.end(), later);
    const Option o = options.back();
    options.pop_back();
    const int64_t before = chosen[o.job].give;  // a pause takes the place of the shrink
    int64_t room = need.slots + o.slots;
    for (int t = jobs[o.job].team; t >= 0; t = teams[t].parent) room = std::min(room, left[t]);
    room += before;
    const int64_t give =
        o.how == How::kShrink ? std::min({o.slots, room, need.slots - given}) : o.slots;
    if (give <= before || give > room) continue;
    for (int t = jobs[o.job].team; t >= 0; t = teams[t].parent) left[t] -= give - before;
    chosen[o.job] = {o.job, give, o.how};
    given += give - before;
  }
  std::erase_if(chosen, [](const Victim& v) { return v.give == 0; });
  return Units(need, given) > Units(need, 0) ? chosen : std::vector<Victim>{};
}

}  // namespace

int64_t SlotsGiven(const std::vector<Victim>& victims) {
  int64_t given = 0;
  for (const Victim& v : victims) given += v.give;
  return given;
}

bool Less(const VictimCost& a, const VictimCost& b) {
  return std::tie(a.broken, a.slot_s) < std::tie(b.broken, b.slot_s);
}

namespace {

// What no choice that gives need.slots costs less than: no caps, jobs in parts. Few broken come
// first, so: the fewest that must be broken if everything else gives all it has, then the least by
// cost per slot.
VictimCost Relaxed(const std::vector<VictimJob>& jobs, const VictimNeed& need) {
  int64_t others = 0, largest_break = 1;             // slots of those that need not be broken
  std::vector<std::pair<double, int64_t>> by_price;  // (cost per slot, slots)
  for (const VictimJob& j : jobs) {
    const bool whole = j.can_pause || j.can_break;
    others += j.can_pause ? j.slots : j.can_shrink;
    if (j.can_break && !j.can_pause) largest_break = std::max(largest_break, j.slots);
    const int64_t gives = whole ? j.slots : j.can_shrink;
    if (gives <= 0) continue;
    const auto price = [&](How how, int64_t slots) {
      return CostOfJob(j, how).slot_s / static_cast<double>(slots);
    };
    double least = whole ? price(j.can_pause ? How::kPause : How::kBreak, j.slots) : 1e300;
    if (j.can_shrink > 0) least = std::min(least, price(How::kShrink, j.can_shrink));
    by_price.emplace_back(least, gives);
  }
  VictimCost bound;
  const auto ceil = [](int64_t n, int64_t of) { return n <= 0 ? 0 : (n + of - 1) / of; };
  bound.broken = ceil(need.slots - others, largest_break);
  std::make_heap(by_price.begin(), by_price.end(), std::greater<>());
  for (int64_t left = need.slots; left > 0 && !by_price.empty();) {
    std::pop_heap(by_price.begin(), by_price.end(), std::greater<>());
    const auto [price, gives] = by_price.back();
    by_price.pop_back();
    const int64_t some = std::min(left, gives);
    bound.slot_s += price * static_cast<double>(some);
    left -= some;
  }
  return bound;
}

}  // namespace

std::vector<Victim> ChooseVictimsQuickly(const std::vector<VictimTeam>& teams,
                                         const std::vector<VictimJob>& jobs, const VictimNeed& need,
                                         double spread_slot_s) {
  std::vector<Victim> best;
  VictimCost best_cost;
  bool gives_all = false;
  for (const Prefer prefer : {Prefer::kCheap, Prefer::kBig}) {
    std::vector<Victim> some = Greedy(teams, jobs, need, prefer);
    const VictimCost cost = CostOf(teams, jobs, some, spread_slot_s);
    const bool all = SlotsGiven(some) >= need.slots;
    if (gives_all ? !all || !Less(cost, best_cost) : !all && !best.empty()) continue;
    gives_all = all;
    best = std::move(some);
    best_cost = cost;
  }
  return best;
}

VictimChoice ChooseVictimsBounded(const std::vector<VictimTeam>& teams,
                                  const std::vector<VictimJob>& jobs, const VictimNeed& need,
                                  double spread_slot_s) {
  VictimChoice out;
  if (need.slots <= 0 || jobs.empty()) return out;
  out.bound = Relaxed(jobs, need);
  out.victims = ChooseVictimsQuickly(teams, jobs, need, spread_slot_s);
  out.cost = CostOf(teams, jobs, out.victims, spread_slot_s);
  const bool gives_all = SlotsGiven(out.victims) >= need.slots;
  if (gives_all && !Less(out.bound, out.cost)) {
    out.exact = true;
    return out;
  }
  // What alone costs more than all of the greedy choice is in no cheapest one.
  std::vector<VictimJob> few;
  std::vector<int> index;
  int64_t divisor = 0, largest = 0;
  for (int j = 0; j < static_cast<int>(jobs.size()); ++j) {
    VictimJob job = jobs[j];
    const auto too_dear = [&](How how) { return gives_all && Less(out.cost, CostOfJob(job, how)); };
    if (too_dear(How::kShrink)) job.can_shrink = 0;
    if (too_dear(How::kPause)) job.can_pause = false;
    if (too_dear(How::kBreak)) job.can_break = false;
    if (!job.can_pause && !job.can_break && job.can_shrink == 0) continue;
    divisor = job.can_shrink > 0 ? 1 : std::gcd(divisor, job.slots);
    largest = std::max(largest, job.can_pause || job.can_break ? job.slots : job.can_shrink);
    few.push_back(job);
    index.push_back(j);
  }
  divisor = std::max<int64_t>(divisor, 1);
  if (few.empty() || need.slots / divisor > kExactSlots) return out;
  std::vector<VictimTeam> small = teams;
  for (VictimTeam& team : small) team.cap = std::max<int64_t>(team.cap, 0) / divisor;
  for (VictimJob& job : few) {
    job.slots /= divisor;
    if (divisor > 1) job.can_shrink = 0;
  }
  const Exact exact(small, few, (need.slots + largest) / divisor + 1, spread_slot_s, divisor);
  const Cells& best = exact.best();
  int64_t at = 0;
  const auto units = [&](int64_t y) { return Units(need, y * divisor); };
  for (int64_t y = 0; y < static_cast<int64_t>(best.size()); ++y) {
    if (!best[y].possible) continue;
    const int64_t more = units(y) - units(at);
    if (more > 0 ||
        (more == 0 && y > 0 && units(y) > units(0) && Less(best[y].cost, best[at].cost))) {
      at = y;
    }
  }
  out.exact = true;
  out.victims.clear();
  if (units(at) > units(0)) out.victims = exact.Choice(at);
  for (Victim& v : out.victims) {
    v.job = index[v.job];
    v.give *= divisor;
  }
  out.cost = CostOf(teams, jobs, out.victims, spread_slot_s);
  return out;
}

std::vector<Victim> ChooseVictims(const std::vector<VictimTeam>& teams,
                                  const std::vector<VictimJob>& jobs, const VictimNeed& need,
                                  double spread_slot_s) {
  return ChooseVictimsBounded(teams, jobs, need, spread_slot_s).victims;
}

VictimCost CostOf(const std::vector<VictimTeam>& teams, const std::vector<VictimJob>& jobs,
                  const std::vector<Victim>& choice, double spread_slot_s) {
  VictimCost sum;
  std::vector<int64_t> given(teams.size());
  for (const Victim& v : choice) {
    sum = Plus(sum, CostOfJob(jobs[v.job], v.how));
    given[jobs[v.job].team] += v.give;
  }
  for (size_t t = 0; t < teams.size(); ++t) {
    sum.slot_s += SpreadCost(teams[t], static_cast<double>(given[t]), spread_slot_s);
  }
  return sum;
}

bool Allowed(const std::vector<VictimTeam>& teams, const std::vector<VictimJob>& jobs,
             const std::vector<Victim>& choice) {
  std::vector<int64_t> given(teams.size());
  for (const Victim& v : choice) {
    for (int t = jobs[v.job].team; t >= 0; t = teams[t].parent) given[t] += v.give;
  }
  for (size_t t = 0; t < teams.size(); ++t) {
    if (given[t] > std::max<int64_t>(teams[t].cap, 0)) return false;
  }
  return true;
}

std::vector<Victim> ChooseVictimsByTryingAll(const std::vector<VictimTeam>& teams,
                                             const std::vector<VictimJob>& jobs,
                                             const VictimNeed& need, double spread_slot_s) {
  std::vector<Victim> best, choice;
  VictimCost best_cost;
  int64_t best_units = Units(need, 0);
  const auto visit = [&](const auto& self, int j, int64_t given) -> void {
    if (j == static_cast<int>(jobs.size())) {
      const int64_t units = Units(need, given);
      if (units <= Units(need, 0) || !Allowed(teams, jobs, choice)) return;
      const VictimCost cost = CostOf(teams, jobs, choice, spread_slot_s);
      if (units > best_units || (units == best_units && Less(cost, best_cost))) {
        best = choice;
        best_cost = cost;
        best_units = units;
      }
      return;
    }
    const auto with = [&](int64_t give, How how) {
      choice.push_back({j, give, how});
      self(self, j + 1, given + give);
      choice.pop_back();
    };
    self(self, j + 1, given);
    for (int64_t give = 1; give <= jobs[j].can_shrink; ++give) with(give, How::kShrink);
    if (jobs[j].can_pause) {
      with(jobs[j].slots, How::kPause);
    } else if (jobs[j].can_break) {
      with(jobs[j].slots, How::kBreak);
    }
  };
  visit(visit, 0, 0);
  return best;
}

}  // namespace weir::sched
