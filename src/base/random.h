// Random numbers from a seed: the same seed gives the same sequence on every machine and compiler
// (std:: distributions do not promise that). xoshiro256++ seeded through splitmix64.
// Source: Blackman & Vigna, "Scrambled Linear Pseudorandom Number Generators", 2021.
// Not for keys or anything that must not be guessed: see io/secret.h.
#pragma once

#include <cmath>
#include <cstdint>

namespace weir {

class Random {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& word : s_) {
      seed += 0x9E3779B97F4A7C15u;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
      word = z ^ (z >> 31);
    }
  }
  uint64_t Next() {
    const uint64_t result = Rotate(s_[0] + s_[3], 23) + s_[0];
    const uint64_t t = s_[1] << 17;
    s_[2] ^= s_[0];
    s_[3] ^= s_[1];
    s_[1] ^= s_[2];
    s_[0] ^= s_[3];
    s_[2] ^= t;
    s_[3] = Rotate(s_[3], 45);
    return result;
  }
  // Uniform in [0, n). n > 0. Lemire's multiply, without the rejection: the bias is below n / 2^64.
  uint64_t Below(uint64_t n) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * n) >> 64);
  }
  int64_t Between(int64_t low, int64_t high) {  // both ends included
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low) + 1));
  }
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }  // [0, 1)
  bool Chance(double p) { return Uniform() < p; }
  double Exponential(double mean) { return -mean * std::log1p(-Uniform()); }
  double
  Normal() {  // Box-Muller; one of the pair is thrown away so that the state stays four words
    const double r = std::sqrt(-2.0 * std::log1p(-Uniform()));
    return r * std::cos(6.283185307179586 * Uniform());
  }
  // The whole state, to be saved in a checkpoint and restored.
  struct State {
    uint64_t word[4];
  };
  State state() const { return {{s_[0], s_[1], s_[2], s_[3]}}; }
  void set_state(const State& state) {
    for (int i = 0; i < 4; ++i) s_[i] = state.word[i];
  }

 private:
  static uint64_t Rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  uint64_t s_[4];
};

}  // namespace weir
