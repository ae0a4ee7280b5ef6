// The choice of the bodies, storage formats and scratch.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "engine/kernels/cpu/table.h"
#include "engine/kernels/kernels.h"

namespace weir::kernels {
namespace {

bool Has(Isa isa) {
#if defined(__x86_64__)
  // The f16c test stands for the converts that AVX2 bodies use; every AVX2 machine so far has it.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (isa == Isa::kAvx512) return avx512;
  if (isa == Isa::kAvx2) return avx2;
#endif
  return isa == Isa::kPlain;
}

const cpu::Table& TableOf(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return cpu::Avx512Table();
  if (isa == Isa::kAvx2) return cpu::Avx2Table();
#endif
  (void)isa;
  return cpu::PlainTable();
}

struct Choice {
  std::atomic<Isa> isa{BestIsa()};
  std::atomic<const cpu::Table*> table{&TableOf(BestIsa())};
};
Choice& TheChoice() {
  static Choice choice;
  return choice;
}

}  // namespace

Isa BestIsa() {
  if (Has(Isa::kAvx512)) return Isa::kAvx512;
  if (Has(Isa::kAvx2)) return Isa::kAvx2;
  return Isa::kPlain;
}
Isa ActiveIsa() { return TheChoice().isa.load(std::memory_order_relaxed); }
bool SetIsa(Isa isa) {
  if (!Has(isa)) return false;
  TheChoice().isa.store(isa, std::memory_order_relaxed);
  TheChoice().table.store(&TableOf(isa), std::memory_order_relaxed);
  return true;
}
std::string_view Name(Isa isa) {
  switch (isa) {
    case Isa::kPlain:
      return "plain";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "?";
}

namespace cpu {

const Table& Active() { return *TheChoice().table.load(std::memory_order_relaxed); }

float* Scratch(int slot, int64_t n) {
  struct Slot {
    std::unique_ptr<void, decltype(&std::free)> memory{nullptr, &std::free};
    int64_t size = 0;
  };
  thread_local Slot slots[6];
  Slot& s = slots[slot];
  if (s.size < n) {
    const size_t bytes = (static_cast<size_t>(n) * sizeof(float) + 63) / 64 * 64;
    s.memory.reset(std::aligned_alloc(64, bytes));
    CHECK_MSG(s.memory != nullptr, "scratch of {} bytes", bytes);
    s.size = n;
  }
  return static_cast<float*>(s.memory.get());
}

}  // namespace cpu

int64_t BurnPeakFlops(ThreadPool* pool, int rounds) {
  constexpr int64_t kSteps = 200'000;
  const cpu::Table& table = cpu::Active();
  const int threads = pool == nullptr ? 1 : pool->size();
  ParallelFor(pool, static_cast<int64_t>(threads) * rounds, [&](int64_t) {
    float sink[2] = {0.999f, 0.001f};
    table.burn(kSteps, sink);
    asm volatile("" : : "r"(sink) : "memory");  // the result is wanted, as far as anyone can tell
  });
  return int64_t{threads} * rounds * kSteps * cpu::kBurnChains * table.lanes * 2;
}

int64_t RowBytes(DType type, int64_t cols) {
  switch (type) {
    case DType::kF32:
      return cols * 4;
    case DType::kBf16:
      return cols * 2;
    case DType::kF16:
      return cols * 2;
    case DType::kQ8_0:
      CHECK_MSG(cols % kQ8Block == 0, "q8_0 rows of {} columns", cols);
      return cols / kQ8Block * 34;
  }
  return 0;
}
std::string_view Name(DType type) {
  switch (type) {
    case DType::kF32:
      return "f32";
    case DType::kBf16:
      return "bf16";
    case DType::kF16:
      return "f16";
    case DType::kQ8_0:
      return "q8_0";
  }
  return "?";
}

void ToF32(DType type, const void* from, int64_t n, float* to) {
  const cpu::Table& table = cpu::Active();
  switch (type) {
    case DType::kF32:
      std::copy_n(static_cast<const float*>(from), n, to);
      return;
    case DType::kBf16:
      table.bf16_to_f32(static_cast<const uint16_t*>(from), n, to);
      return;
    case DType::kF16:
      table.f16_to_f32(static_cast<const uint16_t*>(from), n, to);
      return;
    case DType::kQ8_0:
      CHECK_MSG(n % kQ8Block == 0, "n={}", n);
      table.q8_0_to_f32(from, n, to);
      return;
  }
}

namespace {
// d = max |x| / 127 as f16, q = round(x / d): the smallest error of the largest element.
void ToQ8(const float* from, int64_t n, uint8_t* to) {
  const cpu::Table& table = cpu::Active();
  for (int64_t i = 0; i < n; i += kQ8Block, from += kQ8Block, to += 34) {
    float largest = 0;
    for (int j = 0; j < kQ8Block; ++j) largest = std::max(largest, std::fabs(from[j]));
    const float d = largest / 127.0f;
    uint16_t half = 0;
    table.f32_to_f16(&d, 1, &half);
    std::memcpy(to, &half, 2);
    const float inverse = d > 0 ? 1.0f / d : 0.0f;
    for (int j = 0; j < kQ8Block; ++j) {
      to[2 + j] = static_cast<uint8_t>(
          static_cast<int8_t>(std::lrint(std::clamp(from[j] * inverse, -127.0f, 127.0f))));
    }
  }
}
}  // namespace

void FromF32(const float* from, int64_t n, DType type, void* to) {
  const cpu::Table& table = cpu::Active();
  switch (type) {
    case DType::kF32:
      std::copy_n(from, n, static_cast<float*>(to));
      return;
    case DType::kBf16:
      table.f32_to_bf16(from, n, static_cast<uint16_t*>(to));
      return;
    case DType::kF16:
      table.f32_to_f16(from, n, static_cast<uint16_t*>(to));
      return;
    case DType::kQ8_0:
      CHECK_MSG(n % kQ8Block == 0, "n={}", n);
      ToQ8(from, n, static_cast<uint8_t*>(to));
      return;
  }
}

}  // namespace weir::kernels
