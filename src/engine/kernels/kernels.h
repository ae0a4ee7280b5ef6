// The arithmetic of the engine behind one interface: what the trainer and the server call.
//
// The bodies are chosen once, at the first call, from what the processor can do: AVX-512, AVX2 with
// FMA, or plain code for any machine. reference.h has each operator's definition as plain loops in
// double, the oracle of kernels_test.cc.
//
// Shapes    all matrices row-major; "[rows, cols]"; no padding unless a stride (in elements) is
//           named. Sizes may be any number >= 0, not only multiples of a vector.
// Numbers   f32 in and out unless said. A result depends on shapes, values and the instruction
//           set, never on the number of threads or their timing: equal bit for bit.
// Memory    borrows every pointer, keeps none. Pointers need only the alignment of their type.
//           In and out may be the same array only where it says so. Scratch is per thread, reused.
// Threads   `pool` may be null: the calling thread alone. One pool serves one caller at a time.
// Errors    none. A shape that contradicts itself is the caller's bug and aborts (CHECK).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/kernels/dtype.h"
#include "engine/kernels/packed.h"
#include "engine/kernels/thread_pool.h"

namespace weir::kernels {

// ---- Which bodies run ----------------------------------------------------------------------

enum class Isa { kPlain, kAvx2, kAvx512 };
Isa BestIsa();                   // of this machine
Isa ActiveIsa();                 // BestIsa() unless SetIsa() said otherwise
bool SetIsa(Isa isa);            // for tests and benchmarks; false where the machine cannot
std::string_view Name(Isa isa);  // "plain", "avx2", "avx512"
std::optional<Isa> IsaNamed(std::string_view name);

// Of the active set, what products of each kind run on: "avx512; int8 by VNNI, bf16 by
// AVX512_BF16".
std::string DescribeKernels();

// Multiply-adds on registers alone, `rounds` times some million on each thread of the pool; returns
// the operations done (a multiply-add is two). Timed by the caller, the best of a few calls is this
// machine's peak: what MFU is a fraction of. kInt8 and kBf16 with the instructions that MatMul
// would use; 0 where there are none (bf16 without AVX512_BF16).
enum class Unit : uint8_t { kF32, kBf16, kInt8 };
int64_t BurnPeakFlops(ThreadPool* pool, int rounds, Unit unit = Unit::kF32);
// Reads `bytes` of memory once, each thread its own contiguous share, as decoding reads weights;
// returns some sum of them, so that the reads are wanted. Timed by the caller: the read bandwidth.
uint64_t ReadAll(ThreadPool* pool, const void* memory, int64_t bytes);

// ---- Matrix products -----------------------------------------------------------------------

// c[m,n] = a · b, or c += a · b. The form names how a and b lie in memory:
//   kNN  a[m,k], b[k,n]      dX = dY · W
//   kNT  a[m,k], b[n,k]^T    Y = X · W^T, W as [out, in]
//   kTN  a[k,m]^T, b[k,n]    dW = dY^T · X
// lda, ldb, ldc: elements from one row to the next in memory, as stored. c overlaps neither.
enum class Form : uint8_t { kNN, kNT, kTN };
struct Gemm {
  Form form = Form::kNN;
  Into into = Into::kOverwrite;
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  int64_t lda = 0;
  const float* b = nullptr;
  int64_t ldb = 0;
  float* c = nullptr;
  int64_t ldc = 0;
};
void Sgemm(ThreadPool* pool, const Gemm& gemm);

// y[rows, w.out] = x[rows, w.in] · w^T (or +=), weights widened on the fly to f32: for training and
// for weights that are used too seldom to be packed (serving: PackedMatrix). Few rows stream the
// weights once for all of them; many rows go through the blocked product. A row's result may differ
// in the last bits between these two, but not by how many rows came along within the first (up to
// kFewRows).
inline constexpr int64_t kFewRows = 8;
void MatMul(ThreadPool* pool, const float* x, int64_t rows, const Weights& w, float* y,
            Into into = Into::kOverwrite);
// y[rows, w.in] = x[rows, w.out] · w (or +=): the way back through a layer, for the trainer.
void MatMulBack(ThreadPool* pool, const float* x, int64_t rows, const Weights& w, float* y,
                Into into = Into::kOverwrite);

// ---- Layers: forward and backward ----------------------------------------------------------
// A backward takes the gradient of the loss by the output (dy) and gives that by the inputs;
// "+=" adds to what is there.

// y[r,c] = gain[c] * x[r,c] * inv_rms[r],  inv_rms[r] = 1 / sqrt(mean_c x[r,c]^2 + eps).
// inv_rms ([rows]) is kept for the backward; may be null in inference. y may be x.
// Source: Zhang & Sennrich, "Root Mean Square Layer Normalization", 2019, section 4.
void RmsNorm(ThreadPool* pool, const float* x, const float* gain, int64_t rows, int64_t dim,
             float eps, float* y, float* inv_rms);
// dx += , dgain +=.
void RmsNormBackward(ThreadPool* pool, const float* dy, const float* x, const float* gain,
                     const float* inv_rms, int64_t rows, int64_t dim, float* dx, float* dgain);

// Rotary positions, the "half" layout of Hugging Face's Llama: element i of a head is paired with
// i + head_dim/2; pair i at position p turns by p * theta^(-2i/head_dim).
// Source: Su et al., "RoFormer", 2021, section 3.2.
struct RopeTable {
  int64_t head_dim = 0, positions = 0;
  std::vector<float> cos, sin;  // [positions, head_dim / 2]
};
RopeTable MakeRopeTable(int64_t head_dim, int64_t positions, double theta);
// In place on x[rows, stride], heads * head_dim leading elements of each row; row r stands at
// position[r] in [0, table.positions). Backward: the same turn the other way, on the gradient.
enum class Turn : uint8_t { kForward, kBackward };
void Rope(ThreadPool* pool, const RopeTable& table, const int32_t* position, int64_t rows,
          int64_t heads, int64_t stride, float* x, Turn turn = Turn::kForward);

// The same turn with frequencies given, for serving: pair i of a row at position p turns by
// p * inv_freq[i], and the result is multiplied by `magnitude` (scaled variants: YaRN's is not 1).
// Only the first 2 * inv_freq.size() elements of a head are turned. kHalves pairs i with
// i + size (Hugging Face), kNeighbours 2i with 2i + 1 (GGUF's llama).
// The turns of a batch's rows are made once and serve every layer. Angles are formed in f64.
enum class RopeLayout : uint8_t { kHalves, kNeighbours };
struct RopeTurns {
  int64_t half = 0, rows = 0;
  std::vector<float> cos, sin;  // [rows, half]
  void Set(std::span<const double> inv_freq, double magnitude, std::span<const int32_t> position);
};
// In place on x[turns.rows, stride]: `heads` heads of head_dim each.
void Rope(ThreadPool* pool, const RopeTurns& turns, RopeLayout layout, int64_t heads,
          int64_t head_dim, int64_t stride, float* x);

// Each of `heads` heads of each row normalised for itself, in place: RmsNorm over head_dim with
// gain[head_dim] (the norm of queries and keys in Qwen3 and Gemma 3).
void HeadNorm(ThreadPool* pool, const float* gain, int64_t rows, int64_t heads, int64_t head_dim,
              int64_t stride, float eps, float* x);

// x = cap * tanh(x / cap)
void SoftCap(ThreadPool* pool, float cap, int64_t n, float* x);

// out = gelu(gate) * up with gelu(g) = g/2 (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3))); as SwiGlu.
// Source: Hendrycks & Gimpel, "Gaussian Error Linear Units", 2016.
void GeGlu(ThreadPool* pool, const float* gate, const float* up, int64_t rows, int64_t cols,
           int64_t stride, float* out);

// out = silu(gate) * up, silu(g) = g / (1 + exp(-g)); [rows, cols], a row of gate and of up
// `stride` apart (so that both may be halves of one product), out and dout dense. out may be gate
// where stride = cols.
// Source: Shazeer, "GLU Variants Improve Transformer", 2020.
void SwiGlu(ThreadPool* pool, const float* gate, const float* up, int64_t rows, int64_t cols,
            int64_t stride, float* out);
// dgate and dup (both `stride` apart) are overwritten; they may be gate and up themselves.
void SwiGluBackward(ThreadPool* pool, const float* dout, const float* gate, const float* up,
                    int64_t rows, int64_t cols, int64_t stride, float* dgate, float* dup);

// Causal attention with grouped queries: head h reads key/value head h / (heads / kv_heads).
//   out[t,h] = sum_{s<=t} softmax_s(q[t,h] · k[s,h'] / sqrt(head_dim)) v[s,h']
// q, out: [batch * seq, heads * head_dim]; k, v: [batch * seq, kv_heads * head_dim], each with its
// stride. The scores are never held whole: a block of queries at a time, and the backward computes
// them anew from lse[batch, heads, seq], the logarithm of each row's sum of exponentials.
struct AttentionShape {
  int64_t batch = 0, seq = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int64_t q_stride = 0, k_stride = 0, v_stride = 0, out_stride = 0;
};
void Attention(ThreadPool* pool, const AttentionShape& shape, const float* q, const float* k,
               const float* v, float* out, float* lse);
// dq, dk, dv are overwritten; strides as q, k, v; dout's as out's.
void AttentionBackward(ThreadPool* pool, const AttentionShape& shape, const float* q,
                       const float* k, const float* v, const float* out, const float* lse,
                       const float* dout, float* dq, float* dk, float* dv);

// Per row: loss[r] = log(sum_c exp(logits[r,c])) - logits[r,target[r]], and where want_gradient the
// row of logits becomes scale * (softmax - onehot(target)). target < 0: the row is left out (loss
// and gradient 0).
enum class Gradient : uint8_t { kNo, kYes };
void CrossEntropy(ThreadPool* pool, float* logits, const int32_t* target, int64_t rows,
                  int64_t cols, float scale, Gradient want_gradient, float* loss);

// In place: each row becomes its softmax.
void Softmax(ThreadPool* pool, float* x, int64_t rows, int64_t cols);

// y[r,:] = row token[r] of table;  dtable[token[r],:] += dy[r,:], in the order of r.
void Embed(ThreadPool* pool, const Weights& table, const int32_t* token, int64_t rows, float* y);
void EmbedBackward(ThreadPool* pool, const float* dy, const int32_t* token, int64_t rows,
                   int64_t dim, float* dtable);

void Add(ThreadPool* pool, const float* x, int64_t n, float* y);  // y += x

// ---- Optimizer -----------------------------------------------------------------------------

// Sum of squares in f64, in an order fixed by n.
double SumOfSquares(ThreadPool* pool, const float* x, int64_t n);

// One step of AdamW with decoupled weight decay on n parameters:
//   g' = grad_scale * g;  m = b1 m + (1-b1) g';  v = b2 v + (1-b2) g'^2
//   p -= lr * (m / c1 / (sqrt(v / c2) + eps) + weight_decay * p),  c = 1 - b^step
// Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
struct AdamW {
  float lr = 1e-3f, beta1 = 0.9f, beta2 = 0.95f, eps = 1e-8f, weight_decay = 0.1f;
  float grad_scale = 1.0f;
  int64_t step = 1;  // counted from 1
};
// Where bf16 is not null, the new parameters are also written there, rounded.
void AdamWStep(ThreadPool* pool, const AdamW& how, int64_t n, const float* grad, float* param,
               float* m, float* v, uint16_t* bf16 = nullptr);

// Whether any of n values is NaN or infinite.
bool HasNonFinite(ThreadPool* pool, const float* x, int64_t n);

}  // namespace weir::kernels
