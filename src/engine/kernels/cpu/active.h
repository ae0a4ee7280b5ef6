// The tables that were chosen, and the sizes that go with packed matrices. Not for the bodies
// themselves (they include no header of more than declarations).
#pragma once

#include "engine/kernels/cpu/attend.h"
#include "engine/kernels/cpu/floats.h"
#include "engine/kernels/cpu/int8.h"
#include "engine/kernels/cpu/layout.h"
#include "engine/kernels/cpu/table.h"
#include "engine/kernels/dtype.h"

namespace weir::kernels::cpu {

const Int8Table& ActiveInt8();
const FloatTable& ActiveFloats();
const AttendTable& ActiveAttend();

int IndexOf(DType type);  // QuantIndex of a quantized type
inline const PackedFormat& FormatAt(DType type) { return kPackedFormats[IndexOf(type)]; }
int64_t PanelBytes(DType type, int64_t in);  // a multiple of 64

// A thread's own scratch of at least `bytes` bytes, 64-byte aligned, valid until this thread asks
// for the same slot again.
enum class Bytes : int {
  kInt8Chunk = 6,
  kSums,
  kAttendScores,
  kAttendKeys,
  kAttendOut,
  kAttendQueries,
  kCount
};
std::byte* ScratchBytes(Bytes slot, int64_t bytes);

}  // namespace weir::kernels::cpu
