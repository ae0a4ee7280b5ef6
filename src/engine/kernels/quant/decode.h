// The definition of each block format: element i of a block, read straight from its bytes, in
// double. The oracle of the tests; never tuned, and shares nothing with blocks.cc.
// Source: the GGUF format as its files have it (layouts in blocks.h).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "engine/kernels/dtype.h"

namespace weir::kernels::reference {

inline double Half(const uint8_t* p) {
  const int bits = p[0] | p[1] << 8;
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

inline int Nibble(int byte, int which) { return which == 0 ? byte & 15 : byte >> 4; }

inline double Element(DType type, const uint8_t* b, int i) {
  const int l = i % 32, s = i / 32;
  const auto fifth = [l](const uint8_t* bits) { return bits[l / 8] >> l % 8 & 1; };
  switch (type) {
    case DType::kF32: {
      float f;
      std::memcpy(&f, b, 4);
      return static_cast<double>(f);
    }
    case DType::kF16:
      return Half(b);
    case DType::kBF16: {
      const uint32_t bits = static_cast<uint32_t>(b[0] | b[1] << 8) << 16;
      float f;
      std::memcpy(&f, &bits, 4);
      return static_cast<double>(f);
    }
    case DType::kQ8_0:
      return Half(b) * static_cast<int8_t>(b[2 + i]);
    case DType::kQ4_0:
      return Half(b) * (Nibble(b[2 + i % 16], i / 16) - 8);
    case DType::kQ4_1:
      return Half(b) * Nibble(b[4 + i % 16], i / 16) + Half(b + 2);
    case DType::kQ5_0:
      return Half(b) * (Nibble(b[6 + i % 16], i / 16) + 16 * fifth(b + 2) - 16);
    case DType::kQ5_1:
      return Half(b) * (Nibble(b[8 + i % 16], i / 16) + 16 * fifth(b + 4)) + Half(b + 2);
    case DType::kQ2_K: {
      const int q = b[16 + 32 * (i / 128) + l] >> 2 * (s % 4) & 3;
      const int scales = b[i / 16];
      return Half(b + 80) * (scales & 15) * q - Half(b + 82) * (scales >> 4);
    }
    case DType::kQ3_K: {
      const int low = b[32 + 32 * (i / 128) + l] >> 2 * (s % 4) & 3;
      const int high = b[l] >> s & 1;
      const int j = i / 16;
      const int scale = Nibble(b[96 + j % 8], j / 8) + 16 * (b[104 + j % 4] >> 2 * (j / 4) & 3);
      return Half(b + 108) * (scale - 32) * (low + 4 * high - 4);
    }
    case DType::kQ4_K:
    case DType::kQ5_K: {
      const uint8_t* six = b + 4;
      const int scale = s < 4 ? six[s] & 63 : (six[s + 4] & 15) + 16 * (six[s - 4] >> 6);
      const int min = s < 4 ? six[s + 4] & 63 : (six[s + 4] >> 4) + 16 * (six[s] >> 6);
      const uint8_t* nibbles = b + (type == DType::kQ4_K ? 16 : 48);
      int q = Nibble(nibbles[32 * (i / 64) + l], s % 2);
      if (type == DType::kQ5_K) q += 16 * (b[16 + l] >> s & 1);
      return Half(b) * scale * q - Half(b + 2) * min;
    }
    case DType::kQ6_K: {
      const int low = Nibble(b[64 * (i / 128) + i % 64], i / 64 % 2);
      const int high = b[128 + 32 * (i / 128) + l] >> 2 * (s % 4) & 3;
      return Half(b + 208) * static_cast<int8_t>(b[192 + i / 16]) * (low + 16 * high - 32);
    }
  }
  CHECK_MSG(false, "type {}", static_cast<int>(type));
}

}  // namespace weir::kernels::reference
