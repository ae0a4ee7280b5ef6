#include "engine/kernels/quant/blocks.h"

#include <cstring>

#include "base/check.h"

namespace weir::kernels {
namespace {

uint16_t Get16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }
void Put16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v);
  p[1] = static_cast<uint8_t>(v >> 8);
}

// ---- Blocks of 32 ----

void GetNibbles(const uint8_t* q, uint8_t* code) {
  for (int i = 0; i < 16; ++i) {
    code[i] = q[i] & 15;
    code[i + 16] = q[i] >> 4;
  }
}
void PutNibbles(const uint8_t* code, uint8_t* q) {
  for (int i = 0; i < 16; ++i)
    q[i] = static_cast<uint8_t>((code[i] & 15) | (code[i + 16] & 15) << 4);
}
void GetFifthBits(const uint8_t* bits, uint8_t* code) {
  uint32_t word;
  std::memcpy(&word, bits, 4);
  for (int i = 0; i < 32; ++i) code[i] |= static_cast<uint8_t>((word >> i & 1) << 4);
}
void PutFifthBits(const uint8_t* code, uint8_t* bits) {
  uint32_t word = 0;
  for (int i = 0; i < 32; ++i) word |= static_cast<uint32_t>(code[i] >> 4 & 1) << i;
  std::memcpy(bits, &word, 4);
}

// ---- Super-blocks of 256 ----

// Stretch s of 32 elements: the two bits `shift` up of bytes 32 (s/4) + l.
void GetTwoBits(const uint8_t* q, uint8_t* code, int up) {
  for (int s = 0; s < 8; ++s) {
    const uint8_t* from = q + 32 * (s / 4);
    const int shift = 2 * (s % 4);
    for (int l = 0; l < 32; ++l) {
      code[32 * s + l] |= static_cast<uint8_t>((from[l] >> shift & 3) << up);
    }
  }
}
void PutTwoBits(const uint8_t* code, uint8_t* q, int up) {
  std::memset(q, 0, 64);
  for (int s = 0; s < 8; ++s) {
    uint8_t* to = q + 32 * (s / 4);
    const int shift = 2 * (s % 4);
    for (int l = 0; l < 32; ++l) {
      to[l] |= static_cast<uint8_t>((code[32 * s + l] >> up & 3) << shift);
    }
  }
}
// Stretch s: bit s of bytes l.
void GetOneBit(const uint8_t* q, uint8_t* code, int up) {
  for (int s = 0; s < 8; ++s) {
    for (int l = 0; l < 32; ++l) code[32 * s + l] |= static_cast<uint8_t>((q[l] >> s & 1) << up);
  }
}
void PutOneBit(const uint8_t* code, uint8_t* q, int up) {
  std::memset(q, 0, 32);
  for (int s = 0; s < 8; ++s) {
    for (int l = 0; l < 32; ++l) q[l] |= static_cast<uint8_t>((code[32 * s + l] >> up & 1) << s);
  }
}
void GetNibblesOf64(const uint8_t* q, uint8_t* code) {
  for (int j = 0; j < 4; ++j) {
    for (int l = 0; l < 32; ++l) {
      code[64 * j + l] = q[32 * j + l] & 15;
      code[64 * j + 32 + l] = q[32 * j + l] >> 4;
    }
  }
}
void PutNibblesOf64(const uint8_t* code, uint8_t* q) {
  for (int j = 0; j < 4; ++j) {
    for (int l = 0; l < 32; ++l) {
      q[32 * j + l] =
          static_cast<uint8_t>((code[64 * j + l] & 15) | (code[64 * j + 32 + l] & 15) << 4);
    }
  }
}
void GetNibblesOf128(const uint8_t* q, uint8_t* code) {
  for (int half = 0; half < 2; ++half) {
    for (int l = 0; l < 64; ++l) {
      code[128 * half + l] = q[64 * half + l] & 15;
      code[128 * half + 64 + l] = q[64 * half + l] >> 4;
    }
  }
}
void PutNibblesOf128(const uint8_t* code, uint8_t* q) {
  for (int half = 0; half < 2; ++half) {
    for (int l = 0; l < 64; ++l) {
      q[64 * half + l] =
          static_cast<uint8_t>((code[128 * half + l] & 15) | (code[128 * half + 64 + l] & 15) << 4);
    }
  }
}
void GetScalesAndMins(const uint8_t* q, BlockParts* p) {
  for (int j = 0; j < 4; ++j) {
    p->scale[j] = static_cast<int8_t>(q[j] & 63);
    p->min[j] = q[j + 4] & 63;
    p->scale[j + 4] = static_cast<int8_t>((q[j + 8] & 15) | q[j] >> 6 << 4);
    p->min[j + 4] = static_cast<uint8_t>(q[j + 8] >> 4 | q[j + 4] >> 6 << 4);
  }
}
void PutScalesAndMins(const BlockParts& p, uint8_t* q) {
  for (int j = 0; j < 4; ++j) {
    const int high = p.scale[j + 4];
    q[j] = static_cast<uint8_t>((p.scale[j] & 63) | high >> 4 << 6);
    q[j + 4] = static_cast<uint8_t>((p.min[j] & 63) | p.min[j + 4] >> 4 << 6);
    q[j + 8] = static_cast<uint8_t>((high & 15) | (p.min[j + 4] & 15) << 4);
  }
}
void GetSixBitScales(const uint8_t* q, BlockParts* p) {
  for (int j = 0; j < 16; ++j) {
    const int low = q[j % 8] >> 4 * (j / 8) & 15;
    const int high = q[8 + j % 4] >> 2 * (j / 4) & 3;
    p->scale[j] = static_cast<int8_t>((low | high << 4) - 32);
  }
}
void PutSixBitScales(const BlockParts& p, uint8_t* q) {
  std::memset(q, 0, 12);
  for (int j = 0; j < 16; ++j) {
    const int v = p.scale[j] + 32;
    q[j % 8] |= static_cast<uint8_t>((v & 15) << 4 * (j / 8));
    q[8 + j % 4] |= static_cast<uint8_t>((v >> 4 & 3) << 2 * (j / 4));
  }
}

}  // namespace

void TakeApart(DType type, const uint8_t* b, BlockParts* p) {
  p->scale[0] = 1;
  p->min[0] = 1;
  p->m = 0;
  switch (type) {
    case DType::kQ8_0:
      p->d = Get16(b);
      for (int i = 0; i < 32; ++i) p->code[i] = b[2 + i] ^ 0x80;
      return;
    case DType::kQ4_0:
      p->d = Get16(b);
      return GetNibbles(b + 2, p->code);
    case DType::kQ4_1:
      p->d = Get16(b);
      p->m = Get16(b + 2);
      return GetNibbles(b + 4, p->code);
    case DType::kQ5_0:
      p->d = Get16(b);
      GetNibbles(b + 6, p->code);
      return GetFifthBits(b + 2, p->code);
    case DType::kQ5_1:
      p->d = Get16(b);
      p->m = Get16(b + 2);
      GetNibbles(b + 8, p->code);
      return GetFifthBits(b + 4, p->code);
    case DType::kQ2_K:
      for (int j = 0; j < 16; ++j) {
        p->scale[j] = static_cast<int8_t>(b[j] & 15);
        p->min[j] = b[j] >> 4;
      }
      std::memset(p->code, 0, kSuperBlock);
      GetTwoBits(b + 16, p->code, 0);
      p->d = Get16(b + 80);
      p->m = Get16(b + 82);
      return;
    case DType::kQ3_K:
      std::memset(p->code, 0, kSuperBlock);
      GetTwoBits(b + 32, p->code, 0);
      GetOneBit(b, p->code, 2);
      GetSixBitScales(b + 96, p);
      p->d = Get16(b + 108);
      return;
    case DType::kQ4_K:
      p->d = Get16(b);
      p->m = Get16(b + 2);
      GetScalesAndMins(b + 4, p);
      return GetNibblesOf64(b + 16, p->code);
    case DType::kQ5_K:
      p->d = Get16(b);
      p->m = Get16(b + 2);
      GetScalesAndMins(b + 4, p);
      GetNibblesOf64(b + 48, p->code);
      return GetOneBit(b + 16, p->code, 4);
    case DType::kQ6_K:
      GetNibblesOf128(b, p->code);
      GetTwoBits(b + 128, p->code, 4);
      std::memcpy(p->scale, b + 192, 16);
      p->d = Get16(b + 208);
      return;
    default:
      CHECK_MSG(false, "{} has no blocks", NameOf(type));
  }
}

void PutTogether(DType type, const BlockParts& p, uint8_t* b) {
  switch (type) {
    case DType::kQ8_0:
      Put16(b, p.d);
      for (int i = 0; i < 32; ++i) b[2 + i] = p.code[i] ^ 0x80;
      return;
    case DType::kQ4_0:
      Put16(b, p.d);
      return PutNibbles(p.code, b + 2);
    case DType::kQ4_1:
      Put16(b, p.d);
      Put16(b + 2, p.m);
      return PutNibbles(p.code, b + 4);
    case DType::kQ5_0:
      Put16(b, p.d);
      PutFifthBits(p.code, b + 2);
      return PutNibbles(p.code, b + 6);
    case DType::kQ5_1:
      Put16(b, p.d);
      Put16(b + 2, p.m);
      PutFifthBits(p.code, b + 4);
      return PutNibbles(p.code, b + 8);
    case DType::kQ2_K:
      for (int j = 0; j < 16; ++j) b[j] = static_cast<uint8_t>((p.scale[j] & 15) | p.min[j] << 4);
      PutTwoBits(p.code, b + 16, 0);
      Put16(b + 80, p.d);
      Put16(b + 82, p.m);
      return;
    case DType::kQ3_K:
      PutOneBit(p.code, b, 2);
      PutTwoBits(p.code, b + 32, 0);
      PutSixBitScales(p, b + 96);
      Put16(b + 108, p.d);
      return;
    case DType::kQ4_K:
      Put16(b, p.d);
      Put16(b + 2, p.m);
      PutScalesAndMins(p, b + 4);
      return PutNibblesOf64(p.code, b + 16);
    case DType::kQ5_K:
      Put16(b, p.d);
      Put16(b + 2, p.m);
      PutScalesAndMins(p, b + 4);
      PutOneBit(p.code, b + 16, 4);
      return PutNibblesOf64(p.code, b + 48);
    case DType::kQ6_K:
      PutNibblesOf128(p.code, b);
      PutTwoBits(p.code, b + 128, 4);
      std::memcpy(b + 192, p.scale, 16);
      Put16(b + 208, p.d);
      return;
    default:
      CHECK_MSG(false, "{} has no blocks", NameOf(type));
  }
}

}  // namespace weir::kernels
