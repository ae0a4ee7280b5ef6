// The best layouts: every one that the bounds allow is tried, none is skipped by a rule of thumb.
//
// 100,000 layouts take well under a second on one core: memory decides first, and only what fits is
// timed. Ties are broken by the order of enumeration, so equal questions have equal answers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "lab/blueprint/serving.h"
#include "lab/blueprint/training.h"

namespace weir::blueprint {

struct SearchSpace {
  int count = 8;   // accelerators that are used, all of them
  int max_tp = 0;  // 0: up to four times the fast domain of a node
  int max_pp = 0, max_cp = 16, max_ep = 0, max_micro_batch = 16, max_interleave = 8;
  std::vector<Precision> precisions = {Precision::kBf16};
  std::vector<Recompute> recomputes = {Recompute::kNone, Recompute::kSelective, Recompute::kFull};
  std::vector<int> zeros = {0, 1, 2, 3};
  size_t keep = 5;
};

// Calls `visit` for each layout of the space whose degrees multiply to the count, valid or not.
void EnumerateLayouts(const TrainingModel& model, const SearchSpace& space,
                      const std::function<void(const Layout&)>& visit);

struct Candidate {
  Layout layout;
  TrainPrediction prediction;
};

struct SearchResult {
  std::vector<Candidate> best;  // the fastest first
  int64_t tried = 0, fitting = 0;
  std::map<std::string, int64_t> ruled_out;  // why: how many
  // With nothing fitting: what binds, of the layout that comes nearest to fitting.
  std::string binding;
};

SearchResult SearchLayouts(const TrainingModel& model, const SearchSpace& space);

// "activations take 71.2 of 75.2 GiB" or "matrix products are 64% of the step".
std::string WhatBinds(const TrainingModel& model, const Candidate& c);
// Why `other` is slower than `best`: the part of the step that grew most.
std::string WhyItLoses(const Candidate& best, const Candidate& other);

struct ServeTargets {
  double ttft_s = 0, tpot_s = 0;  // 0: none
};
struct ServeCandidate {
  ServeLayout layout;
  ServePrediction prediction;
  double concurrency = 0;  // that meets the targets, all workers
};
struct ServeSearchResult {
  std::vector<ServeCandidate> best;  // most output tokens per second first
  int64_t tried = 0, fitting = 0;
  std::string binding;
};
// Spreads `count` accelerators over groups of each size; with concurrency 0 the largest that meets
// the targets is found for each layout.
ServeSearchResult SearchServing(const ServingModel& model, const Accelerator& accelerator,
                                int count, const ServeWork& work,
                                const std::vector<Precision>& precisions,
                                const ServeTargets& targets, size_t keep);

}  // namespace weir::blueprint
