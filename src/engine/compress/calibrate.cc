#include "engine/compress/calibrate.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/serve/forward.h"

namespace weir::compress {

using model::Place;
using model::Slot;

namespace {

// Matrices that read the same input share its moments.
Place InputOf(Place place) {
  switch (place.slot) {
    case Slot::kK:
    case Slot::kV:
      place.slot = Slot::kQ;
      break;
    case Slot::kUp:
      place.slot = Slot::kGate;
      break;
    case Slot::kExpertUp:
      place.slot = Slot::kExpertGate;
      break;
    default:
      break;
  }
  return place;
}

}  // namespace

class Collector : public serve::InputObserver {
 public:
  void See(const Place& place, const float* x, int64_t rows, int64_t width) override {
    Sum& sum = sums_[place];
    sum.squares.resize(static_cast<size_t>(width));
    sum.rows += rows;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < width; ++i) {
        const auto v = static_cast<double>(x[r * width + i]);
        sum.squares[static_cast<size_t>(i)] += v * v;
      }
    }
  }

  Importance Finish(int64_t tokens) const {
    Importance out;
    out.tokens_ = tokens;
    for (const auto& [place, sum] : sums_) {
      std::vector<float>& columns = out.columns_[place];
      for (const double squares : sum.squares) {
        columns.push_back(static_cast<float>(squares / static_cast<double>(sum.rows)));
      }
    }
    return out;
  }

 private:
  struct Sum {
    std::vector<double> squares;
    int64_t rows = 0;
  };
  std::map<Place, Sum> sums_;
};

const float* Importance::Of(const Place& place) const {
  const auto it = columns_.find(InputOf(place));
  return it == columns_.end() ? nullptr : it->second.data();
}

Result<Importance> Calibrate(const model::Model& model, std::span<const int32_t> tokens,
                             const CalibrateOptions& options, kernels::ThreadPool* pool) {
  const int64_t context = std::min<int64_t>(options.context, model.config().max_seq);
  tokens = tokens.first(std::min(tokens.size(), static_cast<size_t>(options.max_tokens)));
  const auto total = static_cast<int64_t>(tokens.size()) / context * context;
  if (total == 0) {
    return Error(Code::kInvalidArgument,
                 fmt::format("the calibration text has {} tokens, one context {}", tokens.size(),
                             context))
        .Hint("give a longer text, some 100 KB of what the model will be used for");
  }
  serve::KvCache cache(model.config(), serve::KvCache::BlocksFor(context));
  const std::vector<int32_t> blocks = cache.Take(serve::KvCache::BlocksFor(context));
  serve::Forward forward(model, cache, pool, context, static_cast<int>(context));
  Collector collector;
  forward.Observe(&collector);
  for (int64_t at = 0; at < total; at += context) {
    const serve::Piece piece{
        .tokens = tokens.subspan(static_cast<size_t>(at), static_cast<size_t>(context)),
        .blocks = blocks};
    forward.Run({&piece, 1});
    if (options.on_progress) options.on_progress(at + context, total);
  }
  return collector.Finish(total);
}

}  // namespace weir::compress
