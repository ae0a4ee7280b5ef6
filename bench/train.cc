// bench/train: how near the trainer comes to this machine's limit.
//
//   train_bench [--threads N] [--steps N] [--dtype f32|bf16] [--batch N] [--seq N]...
//               [--json]
//
// For a 124-million-parameter Llama (12 layers, 768 wide, vocabulary 50304, feed-forward 2048, tied
// embeddings), batch 4, sequences of 64 and of 1024 tokens: steps of forward, backward, gradient
// norm and AdamW, one warm-up, then the median. Beside it the limits: multiply-adds on registers
// alone, an sgemm of this engine and one of OpenBLAS (where CMake found it) at the shape that holds
// most of the work.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/version.h"
#include "engine/kernels/kernels.h"
#include "engine/train/model.h"
#include "io/clock.h"

#ifdef WEIR_HAVE_OPENBLAS
#include <cblas.h>
extern "C" void openblas_set_num_threads(int);
#endif

namespace {

using namespace weir;

double Now() {
  static const io::RealClock clock;
  return clock.Monotonic().seconds();
}
double Median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}
template <class Work>
std::vector<double> Seconds(int runs, const Work& work) {
  work();
  std::vector<double> out;
  for (int i = 0; i < runs; ++i) {
    const double start = Now();
    work();
    out.push_back(Now() - start);
  }
  return out;
}

struct Step {
  double loss, seconds, fastest, slowest, grad_s, adam_s;
};

Step MeasureSteps(kernels::ThreadPool* pool, train::Storage storage, int64_t batch, int64_t seq,
                  int steps, double* flops) {
  model::ModelConfig c;
  c.vocab_size = 50304;
  c.dim = 768;
  c.layers = 12;
  c.heads = c.kv_heads = 12;
  c.head_dim = 64;
  c.ffn_dim = 2048;
  c.max_seq = static_cast<int>(seq);
  const int64_t micro = std::max<int64_t>(1, std::min(batch, 2048 / seq));
  train::Model model(c, micro * seq, seq, storage, pool);
  model.Initialize(1);
  train::Buffer m(model.parameter_count()), v(model.parameter_count());
  Random random(1);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < batch * (seq + 1); ++i) {
    tokens.push_back(static_cast<int32_t>(random.Below(50304)));
  }
  *flops = train::FlopsPerToken(c, seq) * static_cast<double>(batch * seq);
  double loss = 0;
  int64_t step = 0;
  std::vector<double> grad, adam;
  const std::vector<double> all = Seconds(steps, [&] {
    const double start = Now();
    model.ZeroGradients();
    loss = 0;
    for (int64_t b = 0; b < batch; b += micro) {
      const int64_t count = std::min(micro, batch - b);
      loss +=
          model.ForwardBackward(std::span(tokens).subspan(static_cast<size_t>(b * (seq + 1)),
                                                          static_cast<size_t>(count * (seq + 1))),
                                count, seq, 1.0f / static_cast<float>(batch * seq));
    }
    const double middle = Now();
    const double norm =
        std::sqrt(kernels::SumOfSquares(pool, model.gradients().data(), model.parameter_count()));
    kernels::AdamW how{
        .lr = 1e-4f, .grad_scale = static_cast<float>(1.0 / std::max(1.0, norm)), .step = ++step};
    kernels::AdamWStep(pool, how, model.parameter_count(), model.gradients().data(),
                       model.parameters().data(), m.data(), v.data(), model.stored());
    model.RefreshGains();
    grad.push_back(middle - start);
    adam.push_back(Now() - middle);
  });
  return {loss / static_cast<double>(batch * seq),   Median(all),
          *std::min_element(all.begin(), all.end()), *std::max_element(all.begin(), all.end()),
          Median({grad.begin() + 1, grad.end()}),    Median({adam.begin() + 1, adam.end()})};
}

}  // namespace

int main(int argc, char** argv) {
  int threads = 2, steps = 3;
  int64_t batch = 4;
  bool json = false;
  train::Storage storage = train::Storage::kF32;
  std::vector<int64_t> seqs;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto value = [&] { return i + 1 < argc ? std::string(argv[++i]) : std::string(); };
    if (flag == "--threads") {
      threads = std::max(1, std::atoi(value().c_str()));
    } else if (flag == "--steps") {
      steps = std::max(1, std::atoi(value().c_str()));
    } else if (flag == "--batch") {
      batch = std::clamp(std::atoi(value().c_str()), 1, 1024);
    } else if (flag == "--dtype") {
      storage = value() == "bf16" ? train::Storage::kBf16 : train::Storage::kF32;
    } else if (flag == "--seq") {
      seqs.push_back(std::clamp<int64_t>(std::atoi(value().c_str()), 1, 8192));
    } else if (flag == "--json") {
      json = true;
    } else {
      fmt::print(stderr, "train_bench: unknown flag {} (see the head of bench/train.cc)\n", flag);
      return 2;
    }
  }
  if (seqs.empty()) seqs = {64, 1024};
  kernels::ThreadPool pool(threads);
  const std::string_view isa = kernels::Name(kernels::ActiveIsa());

  double peak = 0;
  const auto measure_peak = [&] {
    for (int i = 0; i < 10; ++i) {
      const double start = Now();
      const int64_t flops = kernels::BurnPeakFlops(&pool, 10);
      peak = std::max(peak, static_cast<double>(flops) / (Now() - start));
    }
  };
  measure_peak();
  // Feed-forward of 1024 tokens: x[1024, 768] times the gate and up weights [4096, 768].
  const int64_t m = 1024, n = 4096, k = 768;
  Random random(2);
  train::Buffer a(m * k), b(n * k), c(m * n);
  for (float& x : a.span()) x = static_cast<float>(random.Normal());
  for (float& x : b.span()) x = static_cast<float>(random.Normal());
  const double product = 2.0 * static_cast<double>(m * n * k);
  const double own = product / Median(Seconds(9, [&] {
                       kernels::Sgemm(&pool, {.form = kernels::Form::kNT,
                                              .m = m,
                                              .n = n,
                                              .k = k,
                                              .a = a.data(),
                                              .lda = k,
                                              .b = b.data(),
                                              .ldb = k,
                                              .c = c.data(),
                                              .ldc = n});
                     }));
  double blas = 0;
#ifdef WEIR_HAVE_OPENBLAS
  openblas_set_num_threads(threads);
  blas =
      product / Median(Seconds(9, [&] {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(m),
                    static_cast<int>(n), static_cast<int>(k), 1.0f, a.data(), static_cast<int>(k),
                    b.data(), static_cast<int>(k), 0.0f, c.data(), static_cast<int>(n));
      }));
#endif
  measure_peak();  // again: at first both threads may have stood on one core
  if (!json) {
    fmt::print("weir {} {} threads {} {}\n", kVersion, isa, threads, __VERSION__);
    fmt::print("  peak, multiply-adds on registers   {:7.1f} GFLOP/s\n", peak / 1e9);
    fmt::print("  sgemm 1024x4096x768, weir          {:7.1f} GFLOP/s  {:4.1f}% of peak\n",
               own / 1e9, 100 * own / peak);
    if (blas > 0) {
      fmt::print("  sgemm 1024x4096x768, OpenBLAS      {:7.1f} GFLOP/s  {:4.1f}% of peak\n",
                 blas / 1e9, 100 * blas / peak);
    }
  }
  std::fflush(stdout);
  std::string rows;
  for (const int64_t seq : seqs) {
    double flops = 0;
    const Step s = MeasureSteps(&pool, storage, batch, seq, steps, &flops);
    const double rate = static_cast<double>(batch * seq) / s.seconds;
    if (json) {
      rows += fmt::format(
          "{}{{\"seq\":{},\"batch\":{},\"tokens_per_s\":{:.2f},\"flops\":{:.4g},\"mfu\":{:.4f},"
          "\"step_s\":{:.4f},\"fastest_s\":{:.4f},\"slowest_s\":{:.4f},\"gradient_s\":{:.4f},"
          "\"optimizer_s\":{:.4f}}}",
          rows.empty() ? "" : ",", seq, batch, rate, flops, flops / s.seconds / peak, s.seconds,
          s.fastest, s.slowest, s.grad_s, s.adam_s);
    } else {
      fmt::print(
          "  124M {} batch {} x {:<5} {:7.1f} tokens/s  {:6.1f} GFLOP/s  {:4.1f}% of peak  "
          "(step {:.2f} s, {:.2f} to {:.2f}; gradient {:.2f}, optimizer {:.2f}; loss {:.3f})\n",
          storage == train::Storage::kF32 ? "f32 " : "bf16", batch, seq, rate,
          flops / s.seconds / 1e9, 100 * flops / s.seconds / peak, s.seconds, s.fastest, s.slowest,
          s.grad_s, s.adam_s, s.loss);
    }
  }
  if (json) {
    fmt::print(
        "{{\"version\":\"{}\",\"compiler\":\"{}\",\"isa\":\"{}\",\"threads\":{},\"dtype\":\"{}\","
        "\"seed\":1,\"peak_flops\":{:.4g},\"sgemm_flops\":{:.4g},\"openblas_flops\":{:.4g},"
        "\"runs\":[{}]}}\n",
        kVersion, __VERSION__, isa, threads, storage == train::Storage::kF32 ? "f32" : "bf16", peak,
        own, blas, rows);
  }
  return 0;
}
