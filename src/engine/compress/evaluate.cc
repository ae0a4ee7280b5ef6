#include "engine/compress/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/serve/forward.h"

namespace weir::compress {
namespace {

// Positions whose logits are held at once: 32 rows of 150 000 tokens are 19 MB.
constexpr int64_t kRowsAtOnce = 32;

double LogSum(std::span<const float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x - largest));
  return static_cast<double>(largest) + std::log(sum);
}

// Mean and standard error of what is added.
class Mean {
 public:
  void Add(double x) {
    ++n_;
    const double delta = x - mean_;
    mean_ += delta / static_cast<double>(n_);
    squares_ += delta * (x - mean_);
  }
  int64_t n() const { return n_; }
  double mean() const { return mean_; }
  double error() const {
    return n_ < 2 ? 0 : std::sqrt(squares_ / static_cast<double>(n_ - 1) / static_cast<double>(n_));
  }

 private:
  int64_t n_ = 0;
  double mean_ = 0, squares_ = 0;
};

// One model reading stretch after stretch.
class Reader {
 public:
  Reader(const model::Model& model, int64_t context, kernels::ThreadPool* pool,
         const io::Clock& clock)
      : clock_(clock),
        vocabulary_(model.config().vocab_size),
        used_(model.tokenizer().vocab_size()),
        cache_(model.config(), serve::KvCache::BlocksFor(context)),
        blocks_(cache_.Take(serve::KvCache::BlocksFor(context))),
        forward_(model, cache_, pool, context, static_cast<int>(context)),
        logits_(static_cast<size_t>(kRowsAtOnce * vocabulary_)) {}

  // Reads tokens[begin, end) of a stretch; rows of logits for all of them where wanted.
  void Read(std::span<const int32_t> stretch, int64_t begin, int64_t end, bool want_logits) {
    const Duration start = clock_.Monotonic();
    const serve::Piece piece{
        .tokens = stretch.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
        .begin = begin,
        .blocks = blocks_,
        .logits = want_logits ? logits_.data() : nullptr,
        .logit_rows = want_logits ? end - begin : 1};
    forward_.Run({&piece, 1});
    seconds_ += (clock_.Monotonic() - start).seconds();
    tokens_ += end - begin;
  }
  std::span<const float> Logits(int64_t row) const {  // of the tokens that the tokenizer has
    return std::span(logits_).subspan(static_cast<size_t>(row * vocabulary_),
                                      static_cast<size_t>(used_));
  }
  Fit FitOf(const Mean& nll) const {
    Fit fit;
    fit.scored = nll.n();
    fit.mean_nll = nll.mean();
    fit.perplexity = std::exp(nll.mean());
    fit.perplexity_error = fit.perplexity * nll.error();
    fit.read_tokens_per_s = static_cast<double>(tokens_) / seconds_;
    return fit;
  }

 private:
  const io::Clock& clock_;
  int64_t vocabulary_, used_;
  serve::KvCache cache_;
  std::vector<int32_t> blocks_;
  serve::Forward forward_;
  std::vector<float> logits_;
  double seconds_ = 0;
  int64_t tokens_ = 0;
};

// The text in stretches of `context` tokens, the first of each replaced by the one that begins a
// text where the model has that: its place is never scored.
struct Stretches {
  std::vector<int32_t> tokens;
  int64_t context = 0, count = 0;
  std::span<const int32_t> At(int64_t i) const {
    return std::span(tokens).subspan(static_cast<size_t>(i * context),
                                     static_cast<size_t>(context));
  }
};

Result<Stretches> Cut(const model::Model& model, std::string_view text,
                      const EvaluateOptions& options) {
  Stretches s;
  s.context = std::min<int64_t>(options.context, model.config().max_seq);
  if (s.context < 4) return Error(Code::kInvalidArgument, "a context of at least 4 is needed");
  s.tokens = model.tokenizer().Encode(text);
  const auto available = std::min(static_cast<int64_t>(s.tokens.size()), options.max_tokens);
  s.count = available / s.context;
  if (s.count == 0) {
    return Error(Code::kInvalidArgument,
                 fmt::format("the text has {} tokens, one stretch {}", s.tokens.size(), s.context))
        .Hint("give a longer text, or a smaller --context");
  }
  const auto bos = model.tokenizer().bos();
  if (model.tokenizer().add_bos() && bos) {
    for (int64_t i = 0; i < s.count; ++i) s.tokens[static_cast<size_t>(i * s.context)] = *bos;
  }
  return s;
}

// Calls score(stretch, position, row) for every position whose next token is scored; the readers
// hold its logits then.
template <class Score>
void ReadAll(const Stretches& s, std::span<Reader* const> readers, const EvaluateOptions& options,
             const Score& score) {
  const int64_t half = s.context / 2;
  for (int64_t i = 0; i < s.count; ++i) {
    const std::span<const int32_t> stretch = s.At(i);
    for (Reader* reader : readers) reader->Read(stretch, 0, half, false);
    // The last token predicts what lies outside.
    for (int64_t at = half; at + 1 < s.context; at += kRowsAtOnce) {
      const int64_t end = std::min(at + kRowsAtOnce, s.context - 1);
      for (Reader* reader : readers) reader->Read(stretch, at, end, true);
      for (int64_t t = at; t < end; ++t) score(stretch, t, t - at);
    }
    if (options.on_progress) options.on_progress((i + 1) * s.context, s.count * s.context);
  }
}

}  // namespace

double NegativeLogLikelihood(std::span<const float> logits, int32_t token) {
  return LogSum(logits) - static_cast<double>(logits[static_cast<size_t>(token)]);
}

double KlDivergence(std::span<const float> a, std::span<const float> b) {
  const double sum_a = LogSum(a), sum_b = LogSum(b);
  double kl = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double log_a = static_cast<double>(a[i]) - sum_a;
    kl += std::exp(log_a) * (log_a - (static_cast<double>(b[i]) - sum_b));
  }
  return std::max(kl, 0.0);  // rounding alone can make it negative
}

Result<Fit> Perplexity(const model::Model& model, std::string_view text,
                       const EvaluateOptions& options, kernels::ThreadPool* pool,
                       const io::Clock& clock) {
  const Stretches s = TRY(Cut(model, text, options));
  Reader reader(model, s.context, pool, clock);
  Reader* const readers[] = {&reader};
  Mean nll;
  ReadAll(s, readers, options, [&](std::span<const int32_t> stretch, int64_t t, int64_t row) {
    nll.Add(NegativeLogLikelihood(reader.Logits(row), stretch[static_cast<size_t>(t + 1)]));
  });
  return reader.FitOf(nll);
}

Result<Comparison> Compare(const model::Model& a, const model::Model& b, std::string_view text,
                           const EvaluateOptions& given, kernels::ThreadPool* pool,
                           const io::Clock& clock) {
  EvaluateOptions options = given;
  options.context =
      std::min<int64_t>({given.context, int64_t{a.config().max_seq}, int64_t{b.config().max_seq}});
  const Stretches s = TRY(Cut(a, text, options));
  const Stretches other = TRY(Cut(b, text, options));
  if (a.tokenizer().vocab_size() != b.tokenizer().vocab_size() || s.tokens != other.tokens) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{} and {} do not have the same tokens", a.name(), b.name()))
        .Hint("compare a model with a quantized version of itself, or two of one family");
  }
  Reader reader_a(a, s.context, pool, clock), reader_b(b, s.context, pool, clock);
  Reader* const readers[] = {&reader_a, &reader_b};
  Mean nll_a, nll_b, difference;
  std::vector<double> distances;
  int64_t agreed = 0;
  ReadAll(s, readers, options, [&](std::span<const int32_t> stretch, int64_t t, int64_t row) {
    const std::span<const float> la = reader_a.Logits(row), lb = reader_b.Logits(row);
    const int32_t next = stretch[static_cast<size_t>(t + 1)];
    const double na = NegativeLogLikelihood(la, next), nb = NegativeLogLikelihood(lb, next);
    nll_a.Add(na);
    nll_b.Add(nb);
    difference.Add(nb - na);
    distances.push_back(KlDivergence(la, lb));
    const auto likeliest = [](std::span<const float> l) {
      return std::max_element(l.begin(), l.end()) - l.begin();
    };
    agreed += likeliest(la) == likeliest(lb);
  });
  Comparison out;
  out.a = reader_a.FitOf(nll_a);
  out.b = reader_b.FitOf(nll_b);
  out.perplexity_ratio = std::exp(difference.mean());
  out.perplexity_ratio_error = out.perplexity_ratio * difference.error();
  for (const double d : distances) out.kl.mean += d / static_cast<double>(distances.size());
  std::sort(distances.begin(), distances.end());
  out.kl.max = distances.back();
  out.kl.p99 = distances[(distances.size() - 1) * 99 / 100];
  out.kl.agreement = static_cast<double>(agreed) / static_cast<double>(distances.size());
  return out;
}

double DecodeSpeed(const model::Model& model, std::span<const int32_t> prompt, int tokens,
                   int rounds, kernels::ThreadPool* pool, const io::Clock& clock) {
  const auto used = static_cast<int64_t>(prompt.size());
  const int64_t context = std::min<int64_t>(used + tokens, model.config().max_seq);
  serve::KvCache cache(model.config(), serve::KvCache::BlocksFor(context));
  const std::vector<int32_t> blocks = cache.Take(serve::KvCache::BlocksFor(context));
  serve::Forward forward(model, cache, pool, context, static_cast<int>(used));
  std::vector<float> logits(static_cast<size_t>(model.config().vocab_size));
  std::vector<double> speeds;
  for (int round = 0; round < rounds; ++round) {
    serve::Piece piece{.tokens = prompt, .blocks = blocks, .logits = logits.data()};
    forward.Run({&piece, 1});
    const Duration start = clock.Monotonic();
    int64_t made = 0;
    for (int64_t at = used; at < context; ++at, ++made) {
      const auto next =
          static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      piece = {.tokens = {&next, 1}, .begin = at, .blocks = blocks, .logits = logits.data()};
      forward.Run({&piece, 1});
    }
    speeds.push_back(static_cast<double>(made) / (clock.Monotonic() - start).seconds());
  }
  std::nth_element(speeds.begin(), speeds.begin() + rounds / 2, speeds.end());
  return speeds[static_cast<size_t>(rounds / 2)];
}

}  // namespace weir::compress
