#include "engine/model/utf8_class.h"

#include <utf8proc.h>

#include <algorithm>

namespace weir::model {
namespace {

bool IsSpace(uint32_t c) {  // White_Space
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

}  // namespace

CharTable::CharTable() {
  static_assert(static_cast<int>(kLu) == UTF8PROC_CATEGORY_LU &&
                static_cast<int>(kMn) == UTF8PROC_CATEGORY_MN &&
                static_cast<int>(kNd) == UTF8PROC_CATEGORY_ND &&
                static_cast<int>(kPc) == UTF8PROC_CATEGORY_PC &&
                static_cast<int>(kSm) == UTF8PROC_CATEGORY_SM &&
                static_cast<int>(kZs) == UTF8PROC_CATEGORY_ZS &&
                static_cast<int>(kCo) == UTF8PROC_CATEGORY_CO);
  for (uint32_t block = 0; block < first_.size(); ++block) {
    std::array<uint8_t, 256> made{};
    const uint32_t plane = block >> 8;
    if (plane <= 3 || plane >= 14) {  // the planes between are unassigned
      for (uint32_t i = 0; i < 256; ++i) {
        const uint32_t code = block << 8 | i;
        auto cls = static_cast<uint8_t>(utf8proc_category(static_cast<utf8proc_int32_t>(code)));
        if (IsSpace(code)) cls |= kSpaceFlag;
        if (code == '\r' || code == '\n') cls |= kBreakFlag;
        made[i] = cls;
      }
    }
    const auto same = std::find(blocks_.begin(), blocks_.end(), made);
    first_[block] = static_cast<uint8_t>(same - blocks_.begin());
    if (same == blocks_.end()) blocks_.push_back(made);
  }
  std::copy_n(blocks_[first_[0]].begin(), 128, ascii_.begin());
}

const CharTable& CharTable::Get() {
  static const CharTable table;
  return table;
}

void AppendUtf8(uint32_t code, std::string& out) {
  utf8proc_uint8_t buffer[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(n));
}

}  // namespace weir::model
