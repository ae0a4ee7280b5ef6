#include "lab/sched/shares.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace weir::sched {
namespace {

struct ShareClaim {
  double guarantee, owed, weight, demand;
  double given = 0;
};

// Gives each claim want(i), or less in proportion when `left` does not suffice.
template <class Want>
void GiveInProportion(std::vector<ShareClaim>* claims, double* left, Want want) {
  double sum = 0;
  for (const ShareClaim& c : *claims) sum += want(c);
  if (sum <= 0) return;
  const double part = std::min(1.0, *left / sum);
  for (ShareClaim& c : *claims) c.given += part * want(c);
  *left = std::max(0.0, *left - part * sum);
}

// Steps 1 to 3 among siblings.
void Divide(std::vector<ShareClaim>* claims, double capacity) {
  double left = capacity;
  GiveInProportion(claims, &left,
                   [](const ShareClaim& c) { return std::min(c.guarantee, c.demand); });
  GiveInProportion(claims, &left,
                   [](const ShareClaim& c) { return std::clamp(c.demand - c.given, 0.0, c.owed); });
  // The water level at which a claim is full, lowest first.
  std::vector<ShareClaim*> open;
  double weights = 0;
  for (ShareClaim& c : *claims) {
    if (c.demand - c.given <= 0 || c.weight <= 0) continue;
    open.push_back(&c);
    weights += c.weight;
  }
  std::stable_sort(open.begin(), open.end(), [](const ShareClaim* a, const ShareClaim* b) {
    return (a->demand - a->given) / a->weight < (b->demand - b->given) / b->weight;
  });
  for (ShareClaim* c : open) {
    const double share = std::min(c->demand - c->given, left * c->weight / weights);
    c->given += share;
    left -= share;
    weights -= c->weight;
  }
}

}  // namespace

std::vector<double> Entitlements(const std::vector<ShareNode>& nodes, double capacity) {
  const int n = static_cast<int>(nodes.size());
  std::vector<std::vector<int>> children(n);
  std::vector<int> order;  // parents before children
  for (int i = 0; i < n; ++i) {
    if (nodes[i].parent < 0) {
      order.push_back(i);
    } else {
      children[nodes[i].parent].push_back(i);
    }
  }
  const std::vector<int> roots = order;
  for (size_t k = 0; k < order.size(); ++k) {
    order.insert(order.end(), children[order[k]].begin(), children[order[k]].end());
  }
  std::vector<double> demand(n), guarantee(n), below(n), entitled(n);
  for (size_t k = order.size(); k-- > 0;) {
    const int i = order[k];
    demand[i] += nodes[i].demand;
    guarantee[i] = std::max(nodes[i].guarantee, below[i]);
    if (nodes[i].parent >= 0) {
      demand[nodes[i].parent] += demand[i];
      below[nodes[i].parent] += guarantee[i];
    }
  }
  const auto divide = [&](const std::vector<int>& siblings, double own_demand, double own_guarantee,
                          double all) {
    std::vector<ShareClaim> claims;
    for (int i : siblings) {
      claims.push_back({guarantee[i], nodes[i].owed, nodes[i].weight, demand[i]});
    }
    claims.push_back({own_guarantee, 0, 1, own_demand});
    Divide(&claims, all);
    for (size_t k = 0; k < siblings.size(); ++k) entitled[siblings[k]] = claims[k].given;
  };
  divide(roots, 0, 0, std::max(capacity, 0.0));
  for (int i : order) {
    if (!children[i].empty()) {
      divide(children[i], nodes[i].demand, guarantee[i] - below[i], entitled[i]);
    }
  }
  return entitled;
}

double OwedSlots(double credit_slot_s, double half_life_s) {
  if (half_life_s <= 0) return 0;
  return std::max(0.0, credit_slot_s) * std::numbers::ln2 / half_life_s;
}

double PayBack(double credit_slot_s, Duration passed, double half_life_s) {
  if (half_life_s <= 0) return 0;
  return credit_slot_s * std::exp2(-std::max(passed.seconds(), 0.0) / half_life_s);
}

}  // namespace weir::sched
