#include "lab/sched/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cmath>

namespace weir::sched {
namespace {

constexpr int64_t kLeast = 3;  // runs before a depth is believed
constexpr size_t kMostKeys = 200'000;
constexpr double kNineOfTen = 2.303;  // -ln(0.1): of a Laplace distribution with mean distance 1
// A shallower depth is preferred when it has missed by this much less.
constexpr double kSurer = 0.7;
constexpr int kDepths = 5;
// Runs after which half of a mean is forgotten: the more unlike the runs are, the more of them it
// takes to know their middle.
constexpr std::array<double, kDepths> kForget = {8, 8, 32, 128, 128};
constexpr std::array<std::string_view, kDepths> kFrom = {
    "runs of this name by this user", "runs of like names by this user",
    "runs of this size by this user", "runs of this size in this team", "all runs"};

std::array<std::string, kDepths> KeysOf(const RunFacts& run) {
  const int size = std::bit_width(static_cast<uint64_t>(std::max<int64_t>(run.slots, 1)));
  // What is not told does not make runs alike: those keys are left empty.
  const bool user = !run.user.empty(), name = !run.name.empty();
  return {name ? fmt::format("n|{}|{}|{}", run.user, run.team, run.name) : "",
          name && user ? fmt::format("s|{}|{}", run.user, StemOf(run.name)) : "",
          user ? fmt::format("u|{}|{}", run.user, size) : "",
          fmt::format("t|{}|{}", run.team, size), "all"};
}

}  // namespace

std::string StemOf(std::string_view name) {
  // Words between separators; those with a digit are what tells runs apart.
  std::string out;
  size_t at = 0;
  while (at < name.size()) {
    size_t end = at;
    bool digit = false;
    while (end < name.size() && std::isalnum(static_cast<unsigned char>(name[end]))) {
      digit = digit || std::isdigit(static_cast<unsigned char>(name[end]));
      ++end;
    }
    if (!digit) out += name.substr(at, end - at);
    if (end < name.size()) out += name[end++];
    at = end;
  }
  return out;
}

void RunHistory::Note(const RunFacts& run, Duration took) {
  const double log_s = std::log(std::max(took.seconds(), 1.0));
  if (const RunEstimate said = Estimate(run); said.expected.us > 0) {
    missed_ += std::fabs(log_s - std::log(said.expected.seconds()));
    ++judged_;
  }
  ++noted_;
  int depth = 0;
  for (std::string& key : KeysOf(run)) {
    const double forget = kForget[static_cast<size_t>(depth++)];
    if (key.empty()) continue;
    Kept& k = kept_[key];
    if (k.used != 0) by_use_.erase(k.used);
    k.used = ++uses_;
    by_use_.emplace(k.used, std::move(key));
    const double miss = std::fabs(log_s - k.mean);
    // The first runs count as a plain mean, later ones fade.
    const double fade = 1 - std::exp2(-1 / forget);
    const double a = std::max(fade, 1.0 / static_cast<double>(k.runs + 1));
    if (k.runs > 0) {
      const double b = std::max(fade, 1.0 / static_cast<double>(k.runs));
      k.missed += b * (miss - k.missed);
      k.distance += b * (miss - k.distance);
    }
    k.mean += a * (log_s - k.mean);
    ++k.runs;
  }
  while (kept_.size() > kMostKeys) {
    kept_.erase(by_use_.begin()->second);
    by_use_.erase(by_use_.begin());
  }
}

RunEstimate RunHistory::Estimate(const RunFacts& run) const {
  const Kept* best = nullptr;
  RunEstimate out;
  int depth = 0;
  for (const std::string& key : KeysOf(run)) {
    const auto it = key.empty() ? kept_.end() : kept_.find(key);
    if (it != kept_.end() && it->second.runs >= kLeast &&
        (best == nullptr || it->second.missed < kSurer * best->missed)) {
      best = &it->second;
      out.from = kFrom[depth];
    }
    ++depth;
  }
  if (best == nullptr) return out;
  out.expected = Duration::FromSeconds(std::exp(best->mean));
  out.error = static_cast<float>(std::min(std::expm1(kNineOfTen * best->distance), 1e6));
  out.runs = best->runs;
  return out;
}

double RunHistory::mean_factor() const {
  return judged_ == 0 ? 0 : std::exp(missed_ / static_cast<double>(judged_));
}

}  // namespace weir::sched
