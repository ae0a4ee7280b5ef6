// Futures drawn from beliefs: a fan of equally likely paths, under each branch of a tree if the
// beliefs have one. Demand by trend, noise, runs and launches; prices of on-demand and spot, both
// ways; deliveries that slip together within a provider and between providers; providers that fail;
// new hardware that comes when it comes.
//
// Every belief that is one number in a future (a growth, a date, a slip) is drawn by Latin
// hypercube: its range is cut into as many equally likely pieces as there are futures and each
// piece is taken once, so fifty futures hold the tails in proportion. Monthly noise is plain. Slips
// are a Gaussian copula: sqrt(between) Z + sqrt(within) Z_provider + rest, against the provider's
// chance.
//
// Repeats   same beliefs, count and seed: same futures. Another `stream` gives futures that those
//           of other streams have not seen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lab/plan/beliefs.h"
#include "lab/plan/model.h"

namespace weir::plan {

// Also names the factors: fills b->problem.factors.
std::vector<Scenario> DrawScenarios(Beliefs* b, int count, uint64_t seed, uint64_t stream);

// One future in which everything is as expected: what a plan that ignores doubt would plan for.
Scenario MeanOf(const Problem& p, std::span<const Scenario> scenarios);

// The inverse of the normal distribution's function, 0 < u < 1.
double NormalQuantile(double u);

}  // namespace weir::plan
