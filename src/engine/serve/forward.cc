#include "engine/serve/forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "engine/model/architecture.h"

namespace weir::serve {
namespace {

using model::Slot;

// Multiply-adds below which one thread is done before a second has woken up: some 10 us.
constexpr int64_t kWorthSharing = 1 << 18;
// A transcendental function costs about as much as this many.
constexpr int64_t kActivationCost = 16;
// Rows whose keys and values one thread stores, and what an element of them costs.
constexpr int64_t kStoredTogether = 16;
constexpr int64_t kStoreCost = 4;
// Rows of logits computed together where they cannot be written where they belong at once.
constexpr int64_t kHeadRows = 64;

const float* OrNull(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

Forward::Forward(const model::Model& model, KvCache& cache, kernels::ThreadPool* pool,
                 int64_t context, int max_rows)
    : model_(model),
      config_(model.config()),
      cache_(cache),
      pool_(pool),
      context_(context),
      max_rows_(max_rows) {
  const model::ModelConfig& c = config_;
  CHECK_MSG(max_rows > 0 && context > 0 && context <= c.max_seq, "rows={} context={}", max_rows,
            context);
  const model::ArchitectureRow& row = RowOf(c.architecture);
  gelu_ = row.activation == model::Activation::kGeluTanh;
  embedding_scale_ = row.scale_embedding ? std::sqrt(static_cast<float>(c.dim)) : 1.0f;
  global_.of = RopeFrequenciesOf(c, model::Sight::kGlobal, context);
  sliding_.of = RopeFrequenciesOf(c, model::Sight::kSliding, context);
  const auto size = [max_rows](int64_t width) { return static_cast<size_t>(max_rows * width); };
  x_.resize(size(c.dim));
  normed_.resize(size(c.dim));
  q_.resize(size(c.q_dim()));
  k_.resize(size(c.kv_dim()));
  v_.resize(size(c.kv_dim()));
  attended_.resize(size(c.q_dim()));
  const int64_t wide = c.experts > 0 ? int64_t{c.experts_used} * c.expert_ffn_dim : c.ffn_dim;
  gate_.resize(size(wide));
  up_.resize(size(wide));
  if (c.experts > 0) {
    lines_.resize(size(int64_t{c.experts_used} * c.dim));
    router_.resize(size(c.experts));
    chosen_.resize(size(c.experts_used));
    chosen_weight_.resize(size(c.experts_used));
    expert_inputs_.resize(static_cast<size_t>(c.experts));
  }
  const model::Layer& first = model.layers().front();
  if (!first.post_attention_norm.empty() || !first.post_ffn_norm.empty()) back_.resize(size(c.dim));
}

void Forward::Run(std::span<const Piece> pieces) {
  stretches_.clear();
  int64_t rows = 0;
  for (const Piece& piece : pieces) {
    const auto total = static_cast<int64_t>(piece.tokens.size());
    CHECK_MSG(piece.begin >= 0 && piece.begin + total <= context_ && piece.logit_rows <= total,
              "begin={} tokens={} context={} logit_rows={}", piece.begin, total, context_,
              piece.logit_rows);
    for (int64_t from = 0; from < total;) {
      const int64_t count = std::min(total - from, max_rows_ - rows);
      stretches_.push_back({&piece, from, count, rows});
      from += count;
      rows += count;
      if (rows < max_rows_) continue;
      Pass(stretches_, rows);
      stretches_.clear();
      rows = 0;
    }
  }
  if (rows > 0) Pass(stretches_, rows);
}

kernels::ThreadPool* Forward::PoolFor(int64_t multiply_adds) const {
  return multiply_adds >= kWorthSharing ? pool_ : nullptr;
}

// With few rows a step is as long as its reading: what lies between two products is used for it
// too.
void Forward::Expect(int64_t rows, std::initializer_list<const kernels::PackedMatrix*> next) {
  constexpr int64_t kFewRows = 8;
  if (rows <= kFewRows) kernels::FetchAhead(pool_, {next.begin(), next.size()});
}

void Forward::See(Slot slot, int layer, int expert, const float* x, int64_t rows, int64_t width) {
  if (observer_ != nullptr) observer_->See({slot, layer, expert}, x, rows, width);
}

void Forward::Pass(std::span<const Stretch> stretches, int64_t rows) {
  tokens_.clear();
  positions_.clear();
  row_blocks_.clear();
  adapted_.clear();
  for (const Stretch& s : stretches) {
    for (int64_t i = s.from; i < s.from + s.count; ++i) {
      const int32_t token = s.piece->tokens[static_cast<size_t>(i)];
      CHECK_MSG(token >= 0 && token < config_.vocab_size, "token={}", token);
      tokens_.push_back(token);
      const int64_t position = s.piece->begin + i;
      positions_.push_back(static_cast<int32_t>(position));
      row_blocks_.push_back(s.piece->blocks[static_cast<size_t>(position / kKvBlockTokens)]);
    }
    const LoraAdapter* adapter = s.piece->adapter;
    if (adapter == nullptr) continue;
    if (!adapted_.empty() && adapted_.back().adapter == adapter &&
        adapted_.back().begin + adapted_.back().count == s.row) {
      adapted_.back().count += s.count;
    } else {
      adapted_.push_back({adapter, s.row, s.count});
    }
  }
  global_.turns.Set(global_.of.per_position, global_.of.magnitude, positions_);
  if (config_.rope_theta_local > 0) {
    sliding_.turns.Set(sliding_.of.per_position, sliding_.of.magnitude, positions_);
  }
  model_.Embed(tokens_.data(), rows, x_.data());
  if (embedding_scale_ != 1.0f) {
    for (int64_t i = 0; i < rows * config_.dim; ++i) x_[static_cast<size_t>(i)] *= embedding_scale_;
  }
  for (int layer = 0; layer < config_.layers; ++layer) {
    Attention(layer, stretches, rows);
    FeedForward(layer, rows);
    if (layer + 1 < config_.layers) {
      const model::Layer& next = model_.layers()[static_cast<size_t>(layer) + 1];
      Expect(rows, {&next.q, &next.k, &next.v});
    } else {
      Expect(rows, {&model_.head()});
    }
  }
  Outputs(stretches, rows);
  const model::Layer& first = model_.layers().front();
  Expect(rows, {&first.q, &first.k, &first.v});
}

void Forward::Attention(int l, std::span<const Stretch> stretches, int64_t rows) {
  const model::ModelConfig& c = config_;
  const model::Layer& layer = model_.layers()[static_cast<size_t>(l)];
  kernels::ThreadPool* row_pool = PoolFor(rows * c.dim);
  kernels::RmsNorm(row_pool, x_.data(), layer.input_norm.data(), rows, c.dim, c.norm_eps,
                   normed_.data(), nullptr);
  See(Slot::kQ, l, -1, normed_.data(), rows, c.dim);
  kernels::ThreadPool* pool = PoolFor(rows * c.dim * (c.q_dim() + 2 * c.kv_dim()));
  input_.Prepare(row_pool, normed_.data(), rows, c.dim,
                 layer.q.form() | layer.k.form() | layer.v.form());
  Multiply(
      pool, l, normed_.data(),
      {{LoraSite::kQ,
        {.weights = &layer.q, .input = &input_, .y = q_.data(), .bias = OrNull(layer.q_bias)}},
       {LoraSite::kK,
        {.weights = &layer.k, .input = &input_, .y = k_.data(), .bias = OrNull(layer.k_bias)}},
       {LoraSite::kV,
        {.weights = &layer.v, .input = &input_, .y = v_.data(), .bias = OrNull(layer.v_bias)}}});
  Expect(rows, {&layer.o});
  if (!layer.q_norm.empty()) {
    kernels::HeadNorm(row_pool, layer.q_norm.data(), rows, c.heads, c.head_dim, c.q_dim(),
                      c.norm_eps, q_.data());
    kernels::HeadNorm(row_pool, layer.k_norm.data(), rows, c.kv_heads, c.head_dim, c.kv_dim(),
                      c.norm_eps, k_.data());
  }
  const bool local = layer.sliding && c.rope_theta_local > 0;
  const kernels::RopeTurns& turns = local ? sliding_.turns : global_.turns;
  kernels::Rope(row_pool, turns, kernels::RopeLayout::kHalves, c.heads, c.head_dim, c.q_dim(),
                q_.data());
  kernels::Rope(row_pool, turns, kernels::RopeLayout::kHalves, c.kv_heads, c.head_dim, c.kv_dim(),
                k_.data());
  Attend(l, stretches);
  See(Slot::kO, l, -1, attended_.data(), rows, c.q_dim());
  input_.Prepare(row_pool, attended_.data(), rows, c.q_dim(), layer.o.form());
  Back(l, LoraSite::kO, attended_.data(), layer.o, layer.o_bias, layer.post_attention_norm, rows);
  if (layer.experts.empty()) Expect(rows, {&layer.mlp.gate, &layer.mlp.up});
}

void Forward::Attend(int l, std::span<const Stretch> stretches) {
  const model::ModelConfig& c = config_;
  const kernels::KvShape& shape = cache_.shape();
  const auto rows = static_cast<int64_t>(row_blocks_.size());
  const int64_t stores = (rows + kStoredTogether - 1) / kStoredTogether;
  kernels::ParallelFor(PoolFor(kStoreCost * rows * c.kv_dim()), stores, [&](int64_t group) {
    const int64_t end = std::min(rows, (group + 1) * kStoredTogether);
    for (int64_t row = group * kStoredTogether; row < end; ++row) {
      const int32_t block = row_blocks_[static_cast<size_t>(row)];
      const int64_t slot = positions_[static_cast<size_t>(row)] % kKvBlockTokens;
      const auto at = static_cast<size_t>(row * c.kv_dim());
      kernels::StoreKeys(shape, &k_[at], slot, cache_.Keys(l, block));
      kernels::StoreValues(shape, &v_[at], slot, cache_.Values(l, block));
    }
  });
  // Pointers are placed first and addressed afterwards: the vector may move while it grows.
  block_pointers_.clear();
  int64_t attended = 0;
  for (const Stretch& s : stretches) {
    const int64_t position = s.piece->begin + s.from;
    const auto used = static_cast<size_t>((position + s.count - 1) / kKvBlockTokens + 1);
    for (const int32_t b : s.piece->blocks.first(used)) {
      block_pointers_.push_back(b < 0 ? nullptr : cache_.Keys(l, b));
    }
    for (const int32_t b : s.piece->blocks.first(used)) {
      block_pointers_.push_back(b < 0 ? nullptr : cache_.Values(l, b));
    }
    attended += s.count * (position + s.count);
  }
  queries_.clear();
  size_t first = 0;
  for (const Stretch& s : stretches) {
    const int64_t position = s.piece->begin + s.from;
    const auto used = static_cast<size_t>((position + s.count - 1) / kKvBlockTokens + 1);
    const auto at = static_cast<size_t>(s.row * c.q_dim());
    queries_.push_back({.q = &q_[at],
                        .out = &attended_[at],
                        .count = s.count,
                        .position = position,
                        .keys = block_pointers_.data() + first,
                        .values = block_pointers_.data() + first + used});
    first += 2 * used;
  }
  const bool sliding = model_.layers()[static_cast<size_t>(l)].sliding;
  kernels::Attend(PoolFor(2 * attended * c.q_dim()),
                  {.kv = shape,
                   .heads = c.heads,
                   .q_stride = c.q_dim(),
                   .out_stride = c.q_dim(),
                   .scale = c.query_scale(),
                   .softcap = c.attention_softcap,
                   .window = sliding ? c.sliding_window : 0},
                  queries_);
}

void Forward::Multiply(kernels::ThreadPool* pool, int layer, const float* x,
                       std::initializer_list<LoraProduct> products) {
  if (!adapted_.empty()) {
    return MatMulAdapted(pool, products, adapted_, layer, x, input_.cols(), lora_scratch_);
  }
  products_.clear();
  for (const LoraProduct& product : products) products_.push_back(product.base);
  kernels::MatMul(pool, products_);
}

void Forward::Back(int layer, LoraSite site, const float* from, const kernels::PackedMatrix& w,
                   const std::vector<float>& bias, const std::vector<float>& norm, int64_t rows) {
  const int64_t dim = config_.dim;
  const bool direct = norm.empty();
  Multiply(PoolFor(rows * w.in() * w.out()), layer, from,
           {{site,
             {.weights = &w,
              .input = &input_,
              .y = direct ? x_.data() : back_.data(),
              .into = direct ? kernels::Into::kAccumulate : kernels::Into::kOverwrite,
              .bias = OrNull(bias)}}});
  if (direct) return;
  kernels::ThreadPool* pool = PoolFor(rows * dim);
  kernels::RmsNorm(pool, back_.data(), norm.data(), rows, dim, config_.norm_eps, back_.data(),
                   nullptr);
  kernels::Add(pool, back_.data(), rows * dim, x_.data());
}

void Forward::Activate(int64_t rows, int64_t width) {
  const auto run = gelu_ ? kernels::GeGlu : kernels::SwiGlu;
  run(PoolFor(kActivationCost * rows * width), gate_.data(), up_.data(), rows, width, width,
      gate_.data());
}

void Forward::FeedForward(int l, int64_t rows) {
  const model::ModelConfig& c = config_;
  const model::Layer& layer = model_.layers()[static_cast<size_t>(l)];
  kernels::ThreadPool* row_pool = PoolFor(rows * c.dim);
  kernels::RmsNorm(row_pool, x_.data(), layer.ffn_norm.data(), rows, c.dim, c.norm_eps,
                   normed_.data(), nullptr);
  if (!layer.experts.empty()) {
    const bool direct = layer.post_ffn_norm.empty();
    if (!direct) std::fill_n(back_.begin(), rows * c.dim, 0.0f);
    Experts(l, rows, direct ? x_.data() : back_.data());
    if (direct) return;
    kernels::RmsNorm(row_pool, back_.data(), layer.post_ffn_norm.data(), rows, c.dim, c.norm_eps,
                     back_.data(), nullptr);
    kernels::Add(row_pool, back_.data(), rows * c.dim, x_.data());
    return;
  }
  See(Slot::kGate, l, -1, normed_.data(), rows, c.dim);
  input_.Prepare(row_pool, normed_.data(), rows, c.dim,
                 layer.mlp.gate.form() | layer.mlp.up.form());
  Multiply(PoolFor(2 * rows * c.dim * c.ffn_dim), l, normed_.data(),
           {{LoraSite::kGate, {.weights = &layer.mlp.gate, .input = &input_, .y = gate_.data()}},
            {LoraSite::kUp, {.weights = &layer.mlp.up, .input = &input_, .y = up_.data()}}});
  Expect(rows, {&layer.mlp.down});
  Activate(rows, c.ffn_dim);
  See(Slot::kDown, l, -1, gate_.data(), rows, c.ffn_dim);
  input_.Prepare(PoolFor(rows * c.ffn_dim), gate_.data(), rows, c.ffn_dim, layer.mlp.down.form());
  Back(l, LoraSite::kDown, gate_.data(), layer.mlp.down, {}, layer.post_ffn_norm, rows);
}

void Forward::Experts(int l, int64_t rows, float* out) {
  const model::ModelConfig& c = config_;
  const model::Layer& layer = model_.layers()[static_cast<size_t>(l)];
  See(Slot::kRouter, l, -1, normed_.data(), rows, c.dim);
  input_.Prepare(PoolFor(rows * c.dim), normed_.data(), rows, c.dim, layer.router.form());
  const kernels::Product route[] = {
      {.weights = &layer.router, .input = &input_, .y = router_.data()}};
  kernels::MatMul(PoolFor(rows * c.dim * c.experts), route);
  kernels::RouteTopK(router_.data(), rows, c.experts, c.experts_used,
                     c.normalize_experts ? kernels::Renormalize::kYes : kernels::Renormalize::kNo,
                     chosen_.data(), chosen_weight_.data());
  const kernels::ExpertPlan plan =
      kernels::PlanExperts(chosen_.data(), rows, c.experts_used, c.experts);
  const int64_t total = plan.total(), width = c.expert_ffn_dim;
  kernels::ThreadPool* pool = PoolFor(2 * total * c.dim * width);
  const auto line = [&](std::vector<float>& buffer, int64_t e, int64_t columns) {
    return buffer.data() + plan.first[static_cast<size_t>(e)] * columns;
  };
  products_.clear();
  for (int64_t e = 0; e < c.experts; ++e) {
    if (plan.count(e) == 0) continue;
    const model::Mlp& expert = layer.experts[static_cast<size_t>(e)];
    kernels::Input& input = expert_inputs_[static_cast<size_t>(e)];
    input.Prepare(PoolFor(plan.count(e) * c.dim), normed_.data(), plan.count(e), c.dim,
                  expert.gate.form() | expert.up.form(), 0, plan.rows(e));
    if (observer_ != nullptr) {
      std::vector<float> gathered(static_cast<size_t>(plan.count(e) * c.dim));
      for (int64_t i = 0; i < plan.count(e); ++i) {
        std::memcpy(&gathered[static_cast<size_t>(i * c.dim)],
                    &normed_[static_cast<size_t>(plan.rows(e)[i] * c.dim)],
                    static_cast<size_t>(c.dim) * sizeof(float));
      }
      See(Slot::kExpertGate, l, static_cast<int>(e), gathered.data(), plan.count(e), c.dim);
    }
    products_.push_back({.weights = &expert.gate, .input = &input, .y = line(gate_, e, width)});
    products_.push_back({.weights = &expert.up, .input = &input, .y = line(up_, e, width)});
  }
  kernels::MatMul(pool, products_);
  Activate(total, width);
  products_.clear();
  for (int64_t e = 0; e < c.experts; ++e) {
    if (plan.count(e) == 0) continue;
    const model::Mlp& expert = layer.experts[static_cast<size_t>(e)];
    kernels::Input& input = expert_inputs_[static_cast<size_t>(e)];
    See(Slot::kExpertDown, l, static_cast<int>(e), line(gate_, e, width), plan.count(e), width);
    input.Prepare(PoolFor(plan.count(e) * width), line(gate_, e, width), plan.count(e), width,
                  expert.down.form());
    products_.push_back({.weights = &expert.down, .input = &input, .y = line(lines_, e, c.dim)});
  }
  kernels::MatMul(pool, products_);
  kernels::CombineExperts(PoolFor(total * c.dim), plan, chosen_weight_.data(), lines_.data(), c.dim,
                          out);
}

void Forward::Outputs(std::span<const Stretch> stretches, int64_t rows) {
  const int64_t dim = config_.dim, vocabulary = config_.vocab_size;
  // Only rows that somebody wants go on: the last of a prompt, all decodes.
  struct Wanted {
    int32_t row;
    float* logits;
  };
  std::vector<Wanted> wanted;
  bool hidden = false;
  for (const Stretch& s : stretches) {
    hidden |= s.piece->hidden != nullptr;
    if (s.piece->logits == nullptr) continue;
    const int64_t first = static_cast<int64_t>(s.piece->tokens.size()) - s.piece->logit_rows;
    for (int64_t i = std::max(first, s.from); i < s.from + s.count; ++i) {
      wanted.push_back(
          {static_cast<int32_t>(s.row + i - s.from), s.piece->logits + (i - first) * vocabulary});
    }
  }
  if (!hidden && wanted.empty()) return;
  if (hidden) {
    kernels::RmsNorm(PoolFor(rows * dim), x_.data(), model_.final_norm().data(), rows, dim,
                     config_.norm_eps, normed_.data(), nullptr);
    for (const Stretch& s : stretches) {
      if (s.piece->hidden == nullptr) continue;
      std::memcpy(s.piece->hidden + s.from * dim, &normed_[static_cast<size_t>(s.row * dim)],
                  static_cast<size_t>(s.count * dim) * sizeof(float));
    }
  } else {
    for (const Wanted& w : wanted) {
      kernels::RmsNorm(nullptr, &x_[static_cast<size_t>(w.row * dim)], model_.final_norm().data(),
                       1, dim, config_.norm_eps, &normed_[static_cast<size_t>(w.row * dim)],
                       nullptr);
    }
  }
  std::vector<int32_t> pick;
  for (size_t begin = 0; begin < wanted.size();) {
    // As many rows as lie one after another where they are wanted; or any, by way of logits_.
    size_t end = begin + 1;
    while (end < wanted.size() && wanted[end].logits == wanted[end - 1].logits + vocabulary) ++end;
    const bool direct = end == wanted.size() || static_cast<int64_t>(end - begin) >= kHeadRows;
    if (!direct) end = std::min(wanted.size(), begin + static_cast<size_t>(kHeadRows));
    const auto count = static_cast<int64_t>(end - begin);
    pick.clear();
    for (size_t i = begin; i < end; ++i) pick.push_back(wanted[i].row);
    float* y = wanted[begin].logits;
    if (!direct) {
      if (logits_.size() < static_cast<size_t>(count * vocabulary)) {
        logits_.resize(static_cast<size_t>(count * vocabulary));
      }
      y = logits_.data();
    }
    const kernels::PackedMatrix& head = model_.head();
    input_.Prepare(PoolFor(count * dim), normed_.data(), count, dim, head.form(), 0, pick.data());
    const kernels::Product product[] = {{.weights = &head, .input = &input_, .y = y}};
    kernels::MatMul(PoolFor(count * dim * vocabulary), product);
    if (config_.logit_softcap > 0) {
      kernels::SoftCap(PoolFor(kActivationCost * count * vocabulary), config_.logit_softcap,
                       count * vocabulary, y);
    }
    for (size_t i = begin; !direct && i < end; ++i) {
      std::memcpy(wanted[i].logits, y + static_cast<int64_t>(i - begin) * vocabulary,
                  static_cast<size_t>(vocabulary) * sizeof(float));
    }
    begin = end;
  }
}

}  // namespace weir::serve
