// The choice of the bodies, and scratch.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "engine/kernels/cpu/active.h"
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

// The tables of an instruction set. Features beyond the set (VNNI, BF16) are asked for one by one:
// the first AVX-512 machines lack both, the next ones the second.
struct Bodies {
  Isa isa;
  const cpu::Table* table;
  const cpu::Int8Table* int8;
  const cpu::FloatTable* floats;
  const cpu::AttendTable* attend;
};

const Bodies& BodiesOf(Isa isa) {
#if defined(__x86_64__)
  static const cpu::FloatTable avx512_floats = [] {
    cpu::FloatTable t = cpu::Avx512Floats();
    if (__builtin_cpu_supports("avx512bf16")) t.tile_bf16_pairs = cpu::kBf16PairsTile;
    return t;
  }();
  static const Bodies avx512 = {
      Isa::kAvx512, &cpu::Avx512Table(),
      __builtin_cpu_supports("avx512vnni") ? &cpu::VnniInt8() : &cpu::Avx2Int8(), &avx512_floats,
      &cpu::Avx512Attend()};
  static const Bodies avx2 = {Isa::kAvx2, &cpu::Avx2Table(), &cpu::Avx2Int8(), &cpu::Avx2Floats(),
                              &cpu::Avx2Attend()};
  if (isa == Isa::kAvx512) return avx512;
  if (isa == Isa::kAvx2) return avx2;
#endif
  (void)isa;
  static const Bodies plain = {Isa::kPlain, &cpu::PlainTable(), &cpu::PlainInt8(),
                               &cpu::PlainFloats(), &cpu::PlainAttend()};
  return plain;
}

std::atomic<const Bodies*>& TheChoice() {
  static std::atomic<const Bodies*> choice{&BodiesOf(BestIsa())};
  return choice;
}
const Bodies& Chosen() { return *TheChoice().load(std::memory_order_relaxed); }

}  // namespace

Isa BestIsa() {
  if (Has(Isa::kAvx512)) return Isa::kAvx512;
  if (Has(Isa::kAvx2)) return Isa::kAvx2;
  return Isa::kPlain;
}
Isa ActiveIsa() { return Chosen().isa; }
bool SetIsa(Isa isa) {
  if (!Has(isa)) return false;
  TheChoice().store(&BodiesOf(isa), std::memory_order_relaxed);
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

const Table& Active() { return *Chosen().table; }
const Int8Table& ActiveInt8() { return *Chosen().int8; }
const FloatTable& ActiveFloats() { return *Chosen().floats; }
const AttendTable& ActiveAttend() { return *Chosen().attend; }

int IndexOf(DType type) {
  switch (type) {
    case DType::kQ8_0:
      return kIq8_0;
    case DType::kQ4_0:
      return kIq4_0;
    case DType::kQ4_1:
      return kIq4_1;
    case DType::kQ5_0:
      return kIq5_0;
    case DType::kQ5_1:
      return kIq5_1;
    case DType::kQ2_K:
      return kIq2_K;
    case DType::kQ3_K:
      return kIq3_K;
    case DType::kQ4_K:
      return kIq4_K;
    case DType::kQ5_K:
      return kIq5_K;
    case DType::kQ6_K:
      return kIq6_K;
    default:
      CHECK_MSG(false, "{} is not quantized", NameOf(type));
  }
}

int64_t PanelBytes(DType type, int64_t in) {
  int64_t bytes = 0;
  if (!IsQuantized(type)) {
    const int64_t k = type == DType::kBF16 ? (in + 1) / 2 * 2 : in;
    bytes = k * kPanelRows * BlockBytes(type);
  } else {
    const PackedFormat& f = FormatAt(type);
    const int rest = static_cast<int>(in % kGroupElements / kBlockElements);
    bytes =
        in / kGroupElements * f.group_bytes(kGroupBlocks) + (rest > 0 ? f.group_bytes(rest) : 0);
  }
  return (bytes + 63) / 64 * 64;
}

std::byte* ScratchBytes(Bytes slot, int64_t bytes) {
  struct Slot {
    std::unique_ptr<void, decltype(&std::free)> memory{nullptr, &std::free};
    int64_t size = 0;
  };
  thread_local Slot slots[static_cast<int>(Bytes::kCount)];
  Slot& s = slots[static_cast<int>(slot)];
  if (s.size < bytes) {
    s.size = (bytes + 63) / 64 * 64;
    s.memory.reset(std::aligned_alloc(64, static_cast<size_t>(s.size)));
    CHECK_MSG(s.memory != nullptr, "scratch of {} bytes", s.size);
  }
  return static_cast<std::byte*>(s.memory.get());
}

float* Scratch(int slot, int64_t n) {
  return reinterpret_cast<float*>(ScratchBytes(static_cast<Bytes>(slot), n * 4));
}

}  // namespace cpu

std::optional<Isa> IsaNamed(std::string_view name) {
  for (const Isa isa : {Isa::kPlain, Isa::kAvx2, Isa::kAvx512}) {
    if (Name(isa) == name) return isa;
  }
  return std::nullopt;
}

std::string DescribeKernels() {
  const Bodies& b = Chosen();
  return fmt::format("{}; {}, bf16 {}", Name(b.isa), b.int8->name,
                     b.floats->tile_bf16_pairs != nullptr ? "by AVX512_BF16" : "widened to f32");
}

int64_t BurnPeakFlops(ThreadPool* pool, int rounds, Unit unit) {
  constexpr int64_t kSteps = 200'000;
  const Bodies& b = Chosen();
  const int64_t loops = static_cast<int64_t>(pool == nullptr ? 1 : pool->size()) * rounds;
  // The result is wanted, as far as the compiler can tell.
  const auto keep = [](void* sink) { asm volatile("" : : "r"(sink) : "memory"); };
  switch (unit) {
    case Unit::kF32:
      ParallelFor(pool, loops, [&](int64_t) {
        float sink[2] = {0.999f, 0.001f};
        b.table->burn(kSteps, sink);
        keep(sink);
      });
      return loops * kSteps * cpu::kBurnChains * b.table->lanes * 2;
    case Unit::kInt8:
      ParallelFor(pool, loops, [&](int64_t) {
        int32_t sink[2] = {0x01020304, 0x7F010203};
        b.int8->burn(kSteps / 8, sink);
        keep(sink);
      });
      return loops * (kSteps / 8) * b.int8->burn_ops;
    case Unit::kBf16:
#if defined(__x86_64__)
      if (b.floats->tile_bf16_pairs == nullptr) return 0;
      ParallelFor(pool, loops, [&](int64_t) {
        float sink[2] = {0.5f, 0.25f};
        cpu::BurnBf16(kSteps / 8, sink);
        keep(sink);
      });
      return loops * (kSteps / 8) * cpu::kBurnBf16Ops;
#else
      return 0;
#endif
  }
  return 0;
}

uint64_t ReadAll(ThreadPool* pool, const void* memory, int64_t bytes) {
  constexpr int64_t kPiece = 64 << 10;
  const auto* from = static_cast<const uint8_t*>(memory);
  std::atomic<uint64_t> sum{0};
  ParallelShares(pool, (bytes + kPiece - 1) / kPiece, 4, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kPiece;
    sum.fetch_add(cpu::Active().read(from + first, std::min(bytes, end * kPiece) - first),
                  std::memory_order_relaxed);
  });
  return sum.load();
}

}  // namespace weir::kernels
