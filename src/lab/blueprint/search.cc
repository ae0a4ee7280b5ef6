#include "lab/blueprint/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"

namespace weir::blueprint {

namespace {

std::vector<int> Divisors(int n) {
  std::vector<int> low, high;
  for (int d = 1; int64_t{d} * d <= n; ++d) {
    if (n % d != 0) continue;
    low.push_back(d);
    if (d != n / d) high.push_back(n / d);
  }
  low.insert(low.end(), high.rbegin(), high.rend());
  return low;
}

std::string Gib(double bytes) { return fmt::format("{:.1f}", bytes / (1024.0 * 1024 * 1024)); }

struct NamedBytes {
  const char* name;
  double bytes;
};
NamedBytes LargestUse(const MemoryUse& m) {
  const NamedBytes all[] = {
      {"weights", m.weights},         {"gradients", m.gradients}, {"optimizer states", m.optimizer},
      {"activations", m.activations}, {"logits", m.logits},       {"the key-value cache", m.cache}};
  return *std::max_element(std::begin(all), std::end(all),
                           [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
}

}  // namespace

void EnumerateLayouts(const TrainingModel& model, const SearchSpace& space,
                      const std::function<void(const Layout&)>& visit) {
  const Accelerator& a = model.accelerator();
  const ModelShape& shape = model.shape();
  const int max_tp = space.max_tp > 0 ? space.max_tp : std::min(a.domain, 4 * a.node);
  const int max_pp = space.max_pp > 0 ? space.max_pp : static_cast<int>(shape.blocks);
  const int max_ep =
      space.max_ep > 0 ? space.max_ep : static_cast<int>(std::max(1.0, shape.experts));
  const std::vector<int> degrees = Divisors(space.count);
  const std::vector<int> experts = Divisors(static_cast<int>(std::max(1.0, shape.experts)));
  Layout l;
  for (const Precision precision : space.precisions) {
    l.precision = precision;
    for (const int tp : degrees) {
      if (tp > max_tp) break;
      l.tp = tp;
      for (const int pp : degrees) {
        if (pp > max_pp || space.count % (int64_t{tp} * pp) != 0) continue;
        l.pp = pp;
        for (const int cp : degrees) {
          if (cp > space.max_cp || space.count % (int64_t{tp} * pp * cp) != 0) continue;
          l.cp = cp;
          l.dp = static_cast<int>(space.count / (int64_t{tp} * pp * cp));
          for (const int ep : experts) {
            if (ep > max_ep || ep > tp * cp * l.dp) break;
            l.ep = ep;
            for (int v = 1; v <= space.max_interleave; v = v == 1 ? 2 : v + 1) {
              if (v > 1 && pp == 1) break;
              // Chunks must come out even, counting the two ends as layers where that helps.
              if (v > 1 && std::fmod(shape.blocks, pp * v) != 0 &&
                  std::fmod(shape.blocks + 2, pp * v) != 0)
                continue;
              l.interleave = v;
              for (int b = 1; b <= space.max_micro_batch; b *= 2) {
                l.micro_batch = b;
                for (const Recompute r : space.recomputes) {
                  l.recompute = r;
                  for (const int zero : space.zeros) {
                    // Splitting gradients or weights with several stages would exchange them for
                    // every micro-batch; frameworks do not offer it.
                    if (zero >= 2 && pp > 1) continue;
                    if (zero >= 1 && l.dp * l.cp == 1) continue;
                    l.zero = zero;
                    visit(l);
                  }
                }
              }
            }
          }
        }
      }
    }
  }
}

SearchResult SearchLayouts(const TrainingModel& model, const SearchSpace& space) {
  SearchResult out;
  const double usable = model.UsableBytes();
  double nearest = INFINITY;
  Layout nearest_layout;
  MemoryUse nearest_use;
  int64_t no_memory = 0;
  EnumerateLayouts(model, space, [&](const Layout& l) {
    ++out.tried;
    if (std::string why = model.Forbids(l); !why.empty()) {
      // Grouped by kind: numbers do not tell kinds apart.
      std::string kind;
      for (const char ch : why) {
        const bool digit = ch >= '0' && ch <= '9';
        if (!digit)
          kind += ch;
        else if (kind.empty() || kind.back() != '#')
          kind += '#';
      }
      ++out.ruled_out[kind];
      return;
    }
    const MemoryUse use = model.Memory(l);
    if (use.total() > usable) {
      ++no_memory;
      if (use.total() < nearest) {
        nearest = use.total();
        nearest_layout = l;
        nearest_use = use;
      }
      return;
    }
    ++out.fitting;
    Candidate c{l, model.Predict(l)};
    if (out.best.size() >= space.keep && c.prediction.step_s >= out.best.back().prediction.step_s)
      return;
    const auto at = std::upper_bound(out.best.begin(), out.best.end(), c,
                                     [](const Candidate& x, const Candidate& y) {
                                       return x.prediction.step_s < y.prediction.step_s;
                                     });
    out.best.insert(at, c);
    if (out.best.size() > space.keep) out.best.pop_back();
  });
  if (no_memory > 0) out.ruled_out["does not fit in memory"] = no_memory;
  if (out.fitting == 0) {
    if (std::isfinite(nearest)) {
      const NamedBytes largest = LargestUse(nearest_use);
      out.binding = fmt::format("memory: the smallest layout ({}) needs {} of {} GiB, {} alone {}",
                                Describe(nearest_layout), Gib(nearest), Gib(usable), largest.name,
                                Gib(largest.bytes));
    } else if (out.tried == 0) {
      out.binding = "the bounds leave no layout to try";
    } else {
      std::string most;
      int64_t times = 0;
      for (const auto& [why, n] : out.ruled_out)
        if (n > times) {
          most = why;
          times = n;
        }
      out.binding = fmt::format("no layout is possible: {} of {} fail because \"{}\"", times,
                                out.tried, most);
    }
  }
  return out;
}

std::string WhatBinds(const TrainingModel& model, const Candidate& c) {
  const TimePart part = c.prediction.Largest();
  const double share = c.prediction.parts[static_cast<size_t>(part)] / c.prediction.step_s;
  std::string text = fmt::format("{} {:.0f}% of the step", NameOf(part), 100 * share);
  const double full = c.prediction.memory.total() / model.UsableBytes();
  if (full > 0.85)
    text += fmt::format("; memory {:.0f}% full, most of it {}", 100 * full,
                        LargestUse(c.prediction.memory).name);
  return text;
}

std::string WhyItLoses(const Candidate& best, const Candidate& other) {
  int grown = 0;
  double most = -INFINITY;
  for (int i = 0; i < kTimeParts; ++i) {
    const double more = other.prediction.parts[static_cast<size_t>(i)] -
                        best.prediction.parts[static_cast<size_t>(i)];
    if (more > most) {
      most = more;
      grown = i;
    }
  }
  const double slower = other.prediction.step_s / best.prediction.step_s - 1;
  return fmt::format("{:+.2f}%: {} takes {:.3g} s more", 100 * slower,
                     NameOf(static_cast<TimePart>(grown)), most);
}

ServeSearchResult SearchServing(const ServingModel& model, const Accelerator& accelerator,
                                int count, const ServeWork& work,
                                const std::vector<Precision>& precisions,
                                const ServeTargets& targets, size_t keep) {
  ServeSearchResult out;
  double most_fit = -1;
  double fewest_bytes = INFINITY;
  double best_tpot = INFINITY, best_ttft = INFINITY;
  const int widest = std::min(count, std::max(accelerator.domain, accelerator.node));
  for (const Precision p : precisions) {
    for (const int size : Divisors(count)) {
      if (size > widest) break;
      for (const int tp : Divisors(size)) {
        for (const int ep : Divisors(size)) {
          ServeLayout l;
          l.precision = p;
          l.workers = count / size;
          l.decode = {tp, size / tp, ep};
          ++out.tried;
          if (!model.Forbids(l).empty()) continue;
          const auto meets = [&](const ServePrediction& r) {
            return r.fits >= 1 && (targets.tpot_s <= 0 || r.tpot_s <= targets.tpot_s) &&
                   (targets.ttft_s <= 0 || r.ttft_s <= targets.ttft_s);
          };
          ServeCandidate c;
          c.layout = l;
          ServeWork w = work;
          if (work.concurrency > 0) {
            c.concurrency = work.concurrency;
            c.prediction = model.Predict(l, w);
          } else {
            // Both times grow with concurrency: the largest that meets the targets, by doubling and
            // halving. Without targets: as many as the cache holds.
            w.concurrency = 1;
            c.prediction = model.Predict(l, w);
            double low = 0, high = std::max(1.0, std::floor(c.prediction.fits));
            high = std::min(high, 4096.0 * count);
            while (high - low > std::max(0.5, 0.005 * high)) {
              const double middle = (low + high + 1) / 2;
              w.concurrency = std::floor(middle);
              if (meets(model.Predict(l, w)))
                low = w.concurrency;
              else
                high = std::min(high - 1, w.concurrency - 1);
              if (high <= low) break;
            }
            w.concurrency = std::max(1.0, low);
            c.concurrency = w.concurrency;
            c.prediction = model.Predict(l, w);
          }
          most_fit = std::max(most_fit, c.prediction.fits);
          fewest_bytes = std::min(fewest_bytes, c.prediction.memory.weights);
          if (c.prediction.fits >= 1) {
            best_tpot = std::min(best_tpot, c.prediction.tpot_s);
            best_ttft = std::min(best_ttft, c.prediction.ttft_s);
          }
          if (!meets(c.prediction)) continue;
          ++out.fitting;
          const auto better = [](const ServeCandidate& x, const ServeCandidate& y) {
            return x.prediction.output_tokens_per_s > y.prediction.output_tokens_per_s;
          };
          if (out.best.size() >= keep && !better(c, out.best.back())) continue;
          out.best.insert(std::upper_bound(out.best.begin(), out.best.end(), c, better), c);
          if (out.best.size() > keep) out.best.pop_back();
        }
      }
    }
  }
  if (out.fitting == 0) {
    if (most_fit < 1) {
      out.binding = fmt::format(
          "memory: the weights take at least {} of {} GiB per accelerator, and no sequence of {} "
          "tokens has room for its cache",
          Gib(fewest_bytes), Gib(accelerator.memory_bytes), work.input + work.output);
    } else {
      out.binding =
          fmt::format("the targets: the best layout reaches TTFT {:.0f} ms and TPOT {:.1f} ms",
                      best_ttft * 1e3, best_tpot * 1e3);
    }
  }
  return out;
}

}  // namespace weir::blueprint
