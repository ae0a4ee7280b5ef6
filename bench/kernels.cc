// bench/kernels: how near serving's arithmetic comes to this machine's limits.
//
//   kernels_bench [--threads N] [--isa plain|avx2|avx512] [--type Q4_0]... [--rows N]...
//                 [--layers N] [--runs N] [--attention] [--json]
//
// The matrix products of a 1.1-billion-parameter Llama (2048 wide, 22 layers, 32 heads, 4 key/value
// heads, feed-forward 5632, vocabulary 32000), each layer's weights at their own address, inputs
// prepared as a forward pass would: once for q, k, v, once for gate and up. One row is decoding,
// 512 are prefill. Random weights. One warm-up, then the median of --runs and the spread.
// In the same run the limits: reading memory, multiply-adds on registers in f32, bf16 and int8.
// With --attention also attention of a layer: prefill and decoding, each type of cache.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/version.h"
#include "engine/kernels/attend.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/packed.h"
#include "engine/kernels/quant/blocks.h"
#include "io/clock.h"

namespace {

using namespace weir;
using kernels::DType;

double Now() {
  static const io::RealClock clock;
  return clock.Monotonic().seconds();
}

struct Times {
  double median = 0, fastest = 0, slowest = 0;
};
template <class Work>
Times Seconds(int runs, Work&& work) {
  work();
  std::vector<double> all;
  for (int i = 0; i < runs; ++i) {
    const double start = Now();
    work();
    all.push_back(Now() - start);
  }
  std::sort(all.begin(), all.end());
  return {all[all.size() / 2], all.front(), all.back()};
}

struct Limits {
  double bandwidth = 0, f32 = 0, bf16 = 0, int8 = 0;
};
Limits Measure(kernels::ThreadPool* pool) {
  Limits limits;
  constexpr int64_t bytes = int64_t{512} << 20;  // far beyond any cache
  kernels::WeightMemory weights;                 // lying as weights do
  const std::shared_ptr<std::byte> memory = weights.Take(bytes);
  std::memset(memory.get(), 1, bytes);
  for (int i = 0; i < 7; ++i) {
    double start = Now();
    const uint64_t sum = kernels::ReadAll(pool, memory.get(), bytes);
    if (sum == 0) std::abort();
    limits.bandwidth = std::max(limits.bandwidth, static_cast<double>(bytes) / (Now() - start));
    for (const auto& [unit, best] : {std::pair(kernels::Unit::kF32, &limits.f32),
                                     std::pair(kernels::Unit::kBf16, &limits.bf16),
                                     std::pair(kernels::Unit::kInt8, &limits.int8)}) {
      start = Now();
      const auto ops = static_cast<double>(kernels::BurnPeakFlops(pool, 10, unit));
      *best = std::max(*best, ops / (Now() - start));
    }
  }
  return limits;
}

// Any bytes are a legal block but for the scales.
std::vector<uint8_t> RandomWeights(Random& random, DType type, int64_t out, int64_t in) {
  std::vector<uint8_t> bytes(static_cast<size_t>(out * kernels::RowBytes(type, in)) + 8);
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    const uint64_t word = random.Next();
    std::memcpy(&bytes[i], &word, 8);
  }
  if (!kernels::IsQuantized(type)) {
    std::vector<float> x(static_cast<size_t>(out * in));
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = static_cast<float>(static_cast<int8_t>(bytes[i % bytes.size()])) / 4096.0f;
    }
    kernels::FromF32(x.data(), out * in, type, bytes.data());
    return bytes;
  }
  const auto block = static_cast<size_t>(kernels::BlockBytes(type));
  kernels::BlockParts parts;
  for (size_t b = 0; b + block <= bytes.size(); b += block) {
    kernels::TakeApart(type, &bytes[b], &parts);
    parts.d = kernels::FloatToHalf(0.001f);
    parts.m = kernels::FormatOf(type).has_min ? kernels::FloatToHalf(0.001f) : 0;
    kernels::PutTogether(type, parts, &bytes[b]);
  }
  return bytes;
}

constexpr int64_t kDim = 2048, kFfn = 5632, kKv = 256, kVocab = 32000, kHeads = 32, kKvHeads = 4,
                  kHeadDim = 64;

struct Layer {
  kernels::PackedMatrix q, k, v, o, gate, up, down;
};
struct Model {
  std::vector<Layer> layers;
  kernels::PackedMatrix head;
  int64_t bytes = 0, macs = 0;  // a row of the layers; the head apart
  double pack_seconds = 0;
};
Model MakeModel(kernels::ThreadPool* pool, DType type, int layers) {
  Random random(7);
  Model model;
  kernels::WeightMemory memory;
  const auto pack = [&](int64_t out, int64_t in, const std::vector<uint8_t>& stored) {
    const double start = Now();
    auto packed = kernels::PackedMatrix::Pack(pool, {type, stored.data(), out, in}, &memory);
    model.pack_seconds += Now() - start;
    model.bytes += packed.bytes();
    model.macs += out * in;
    return packed;
  };
  // One set of random weights, packed anew for each layer: what is in them does not matter.
  const auto square = RandomWeights(random, type, kDim, kDim);
  const auto small = RandomWeights(random, type, kKv, kDim);
  const auto wide = RandomWeights(random, type, kFfn, kDim);
  const auto long_rows = RandomWeights(random, type, kDim, kFfn);
  for (int i = 0; i < layers; ++i) {
    model.layers.push_back({pack(kDim, kDim, square), pack(kKv, kDim, small),
                            pack(kKv, kDim, small), pack(kDim, kDim, square),
                            pack(kFfn, kDim, wide), pack(kFfn, kDim, wide),
                            pack(kDim, kFfn, long_rows)});
  }
  model.head = pack(kVocab, kDim, RandomWeights(random, type, kVocab, kDim));
  return model;
}

// All products of a forward pass over `rows` rows; the head on one of them when there are many.
class Forward {
 public:
  Forward(kernels::ThreadPool* pool, const Model& model, int64_t rows)
      : pool_(pool), model_(model), rows_(rows) {
    Random random(3);
    x_.resize(static_cast<size_t>(rows * kDim));
    h_.resize(static_cast<size_t>(rows * kFfn));
    for (float& f : x_) f = static_cast<float>(random.Normal());
    for (float& f : h_) f = static_cast<float>(random.Normal());
    q_.resize(x_.size());
    k_.resize(static_cast<size_t>(rows * kKv));
    v_.resize(k_.size());
    gate_.resize(h_.size());
    up_.resize(h_.size());
    logits_.resize(static_cast<size_t>(HeadRows() * kVocab));
  }
  int64_t HeadRows() const { return rows_ > 64 ? 1 : rows_; }
  double Macs() const {
    const auto head = static_cast<double>(kVocab * kDim);
    return (static_cast<double>(model_.macs) - head) * static_cast<double>(rows_) +
           head * static_cast<double>(HeadRows());
  }

  void operator()() {
    for (const Layer& l : model_.layers) {
      input_.Prepare(pool_, x_.data(), rows_, kDim, l.q.form());
      Multiply(
          {{&l.q, &input_, q_.data()}, {&l.k, &input_, k_.data()}, {&l.v, &input_, v_.data()}});
      input_.Prepare(pool_, x_.data(), rows_, kDim, l.o.form());
      Multiply({{&l.o, &input_, q_.data()}});
      input_.Prepare(pool_, x_.data(), rows_, kDim, l.gate.form());
      Multiply({{&l.gate, &input_, gate_.data()}, {&l.up, &input_, up_.data()}});
      input_.Prepare(pool_, h_.data(), rows_, kFfn, l.down.form());
      Multiply({{&l.down, &input_, q_.data()}});
    }
    input_.Prepare(pool_, x_.data(), HeadRows(), kDim, model_.head.form());
    Multiply({{&model_.head, &input_, logits_.data()}});
  }

 private:
  void Multiply(std::initializer_list<kernels::Product> products) {
    kernels::MatMul(pool_, std::span(products.begin(), products.size()));
  }
  kernels::ThreadPool* pool_;
  const Model& model_;
  int64_t rows_;
  std::vector<float> x_, h_, q_, k_, v_, gate_, up_, logits_;
  kernels::Input input_;
};

double LimitOf(const Limits& limits, const kernels::PackedMatrix& w) {
  switch (w.form()) {
    case kernels::kInputInt8:
      return limits.int8;
    case kernels::kInputBf16:
      return limits.bf16;
    default:
      return limits.f32;
  }
}

struct AttentionTimes {
  Times prefill, decode;
  int64_t bytes = 0;
};
AttentionTimes MeasureAttention(kernels::ThreadPool* pool, kernels::KvType type, int64_t prompt,
                                int64_t context, int runs) {
  const kernels::KvShape kv{type, kKvHeads, kHeadDim};
  const auto block_bytes = static_cast<size_t>(kernels::KvBlockBytes(kv));
  const int64_t blocks = (context + kernels::kKvBlockTokens - 1) / kernels::kKvBlockTokens;
  std::vector<uint8_t> memory((static_cast<size_t>(blocks) * 2 + 1) * block_bytes + 64);
  auto* base = reinterpret_cast<std::byte*>(memory.data());
  base += (64 - reinterpret_cast<uintptr_t>(base) % 64) % 64;
  std::vector<const std::byte*> keys, values;
  Random random(5);
  std::vector<float> row(static_cast<size_t>(kKv));
  for (int64_t p = 0; p < context; ++p) {
    if (p % kernels::kKvBlockTokens == 0) {
      keys.push_back(base + keys.size() * 2 * block_bytes);
      values.push_back(keys.back() + block_bytes);
    }
    for (float& f : row) f = static_cast<float>(random.Normal());
    kernels::StoreKeys(kv, row.data(), p % kernels::kKvBlockTokens,
                       const_cast<std::byte*>(keys.back()));
    kernels::StoreValues(kv, row.data(), p % kernels::kKvBlockTokens,
                         const_cast<std::byte*>(values.back()));
  }
  std::vector<float> q(static_cast<size_t>(prompt * kDim)), out(q.size());
  for (float& f : q) f = static_cast<float>(random.Normal());
  const kernels::AttendHow how{kv, kHeads, kDim, kDim};
  AttentionTimes times;
  times.prefill = Seconds(runs, [&] {
    const kernels::AttendQuery all{q.data(), out.data(), prompt, 0, keys.data(), values.data()};
    kernels::Attend(pool, how, {&all, 1});
  });
  times.decode = Seconds(runs * 5, [&] {
    const kernels::AttendQuery one{q.data(),    out.data(),  1,
                                   context - 1, keys.data(), values.data()};
    kernels::Attend(pool, how, {&one, 1});
  });
  times.bytes = kernels::KvBytesPerToken(kv) * context;
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  int threads = 2, runs = 5, layers = 22;
  bool json = false, attention = false;
  std::vector<DType> types;
  std::vector<int64_t> all_rows;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto value = [&] { return i + 1 < argc ? std::string(argv[++i]) : std::string(); };
    bool good = true;
    if (flag == "--threads") {
      threads = std::clamp(std::atoi(value().c_str()), 1, 256);
    } else if (flag == "--runs") {
      runs = std::clamp(std::atoi(value().c_str()), 1, 1000);
    } else if (flag == "--layers") {
      layers = std::clamp(std::atoi(value().c_str()), 1, 200);
    } else if (flag == "--rows") {
      all_rows.push_back(std::clamp<int64_t>(std::atoi(value().c_str()), 1, 4096));
    } else if (flag == "--type") {
      const auto type = kernels::DTypeNamed(value());
      good = type.has_value();
      if (type) types.push_back(*type);
    } else if (flag == "--isa") {
      const auto isa = kernels::IsaNamed(value());
      good = isa && kernels::SetIsa(*isa);
    } else if (flag == "--attention") {
      attention = true;
    } else if (flag == "--json") {
      json = true;
    } else {
      good = false;
    }
    if (!good) {
      fmt::print(stderr,
                 "kernels_bench: {} is not understood, or not offered on this machine "
                 "(see the head of bench/kernels.cc)\n",
                 flag);
      return 2;
    }
  }
  if (types.empty())
    types.assign(std::begin(kernels::kAllDTypes) + 1, std::end(kernels::kAllDTypes));
  if (all_rows.empty()) all_rows = {1, 8, 32, 512};
  kernels::ThreadPool pool(threads);
  const Limits limits = Measure(&pool);
  if (!json) {
    fmt::print("weir {}, {}, {} threads, {} layers, median of {}, {}\n", kVersion,
               kernels::DescribeKernels(), threads, layers, runs, __VERSION__);
    fmt::print("limits: read {:.1f} GB/s; f32 {:.0f}, bf16 {:.0f} GFLOP/s, int8 {:.0f} Gop/s\n\n",
               limits.bandwidth / 1e9, limits.f32 / 1e9, limits.bf16 / 1e9, limits.int8 / 1e9);
    fmt::print("{:6} {:>5} {:>10} {:>15} {:>9} {:>7} {:>9} {:>7}\n", "type", "rows", "ms", "spread",
               "GB/s", "of read", "Gop/s", "of peak");
  }
  std::string lines;
  for (const DType type : types) {
    const Model model = MakeModel(&pool, type, layers);
    for (const int64_t rows : all_rows) {
      Forward forward(&pool, model, rows);
      const Times t = Seconds(runs, forward);
      const double bandwidth = static_cast<double>(model.bytes) / t.median;
      const double ops = 2 * forward.Macs() / t.median;
      const double peak = LimitOf(limits, model.head);
      if (json) {
        lines += fmt::format(
            "{}{{\"type\":\"{}\",\"rows\":{},\"median_s\":{:.6f},\"fastest_s\":{:.6f},"
            "\"slowest_s\":{:.6f},\"bytes_per_s\":{:.4g},\"of_bandwidth\":{:.4f},"
            "\"ops_per_s\":{:.4g},\"of_peak\":{:.4f},\"pack_s\":{:.3f}}}",
            lines.empty() ? "" : ",", kernels::NameOf(type), rows, t.median, t.fastest, t.slowest,
            bandwidth, bandwidth / limits.bandwidth, ops, ops / peak, model.pack_seconds);
      } else {
        fmt::print("{:6} {:5} {:10.2f} {:7.2f}-{:7.2f} {:9.2f} {:6.1f}% {:9.1f} {:6.1f}%\n",
                   kernels::NameOf(type), rows, 1e3 * t.median, 1e3 * t.fastest, 1e3 * t.slowest,
                   bandwidth / 1e9, 100 * bandwidth / limits.bandwidth, ops / 1e9,
                   100 * ops / peak);
      }
    }
    if (!json) {
      fmt::print("{:6} packed {:.0f} MB in {:.2f} s\n", kernels::NameOf(type),
                 static_cast<double>(model.bytes) / 1e6, model.pack_seconds);
    }
    std::fflush(stdout);
  }
  if (attention) {
    constexpr int64_t kPrompt = 512, kContext = 4096;
    const std::pair<kernels::KvType, const char*> kinds[] = {{kernels::KvType::kF32, "f32"},
                                                             {kernels::KvType::kF16, "f16"},
                                                             {kernels::KvType::kBF16, "bf16"},
                                                             {kernels::KvType::kInt8, "int8"}};
    for (const auto& [kind, name] : kinds) {
      const AttentionTimes t = MeasureAttention(&pool, kind, kPrompt, kContext, runs);
      const double flops = 4.0 * kDim * kPrompt * (kPrompt + 1) / 2 / t.prefill.median;
      const double bytes = static_cast<double>(t.bytes) / t.decode.median;
      if (json) {
        lines += fmt::format(
            "{}{{\"kv\":\"{}\",\"prefill\":{},\"prefill_s\":{:.6f},\"flops_per_s\":{:.4g},"
            "\"context\":{},\"decode_s\":{:.6f},\"bytes_per_s\":{:.4g}}}",
            lines.empty() ? "" : ",", name, kPrompt, t.prefill.median, flops, kContext,
            t.decode.median, bytes);
      } else {
        fmt::print(
            "attention, {:4} cache: prefill of {} {:.2f} ms a layer, {:.1f} GFLOP/s ({:.0f}% "
            "of f32); decoding at {} {:.3f} ms, {:.1f} GB/s\n",
            name, kPrompt, 1e3 * t.prefill.median, flops / 1e9, 100 * flops / limits.f32, kContext,
            1e3 * t.decode.median, bytes / 1e9);
      }
    }
  }
  if (json) {
    fmt::print(
        "{{\"version\":\"{}\",\"kernels\":\"{}\",\"compiler\":\"{}\",\"threads\":{},"
        "\"layers\":{},\"runs\":{},\"seed\":7,\"bandwidth\":{:.4g},\"peak_f32\":{:.4g},"
        "\"peak_bf16\":{:.4g},\"peak_int8\":{:.4g},\"rows\":[{}]}}\n",
        kVersion, kernels::DescribeKernels(), __VERSION__, threads, layers, runs, limits.bandwidth,
        limits.f32, limits.bf16, limits.int8, lines);
  }
  return 0;
}
