#include "engine/model/tokenizer_added.h"

#include "engine/model/utf8_class.h"

namespace weir::model {
namespace {

// The start of the last character of `text`, which is not empty.
size_t LastChar(std::string_view text) {
  size_t i = text.size() - 1;
  for (int n = 0; n < 3 && i > 0 && (static_cast<uint8_t>(text[i]) & 0xC0) == 0x80; ++n) --i;
  return Utf8At(text, i).size == text.size() - i ? i : text.size() - 1;
}

uint8_t ClassOf(std::string_view text, size_t i) {
  const Utf8Char c = Utf8At(text, i);
  return c.code == kNoCode ? uint8_t{kNone} : CharTable::Get().Of(c.code);
}

bool IsWord(uint8_t cls) {
  return ((kLetters | kMarks | BitOf(kNd) | BitOf(kPc)) >> (cls & kCategoryMask) & 1) != 0;
}

}  // namespace

void AddedTokens::Add(std::string_view content, Tokenizer::TokenId id, const AddedToken& token) {
  if (content.empty()) return;
  first_[static_cast<uint8_t>(content[0])] = true;
  int32_t at = 0;
  for (const char c : content) {
    const auto byte = static_cast<uint8_t>(c);
    int32_t next = -1;
    for (const auto& [b, node] : nodes_[static_cast<size_t>(at)].next) {
      if (b == byte) next = node;
    }
    if (next < 0) {
      next = static_cast<int32_t>(nodes_.size());
      nodes_[static_cast<size_t>(at)].next.emplace_back(byte, next);
      nodes_.emplace_back();
    }
    at = next;
  }
  int32_t& slot = nodes_[static_cast<size_t>(at)].token;
  if (slot >= 0) return;  // the first of equals
  slot = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  tokens_.back().id = id;
}

AddedTokens::Found AddedTokens::FindAt(std::string_view text, size_t i, size_t floor,
                                       ParseSpecial special) const {
  const AddedToken* best = nullptr;
  size_t end = i;
  int32_t at = 0;
  for (size_t k = i; k < text.size();) {
    int32_t next = -1;
    for (const auto& [b, node] : nodes_[static_cast<size_t>(at)].next) {
      if (b == static_cast<uint8_t>(text[k])) {
        next = node;
        break;
      }
    }
    if (next < 0) break;
    at = next;
    ++k;
    const int32_t token = nodes_[static_cast<size_t>(at)].token;
    if (token < 0) continue;
    const AddedToken& t = tokens_[static_cast<size_t>(token)];
    if (t.special && special == ParseSpecial::kNo) continue;
    best = &t;
    end = k;
  }
  if (best == nullptr) return {};
  if (best->single_word) {
    if (i > 0 && IsWord(ClassOf(text, LastChar(text.substr(0, i))))) return {};
    if (end < text.size() && IsWord(ClassOf(text, end))) return {};
  }
  size_t begin = i;
  if (best->lstrip) {
    while (begin > floor) {
      const size_t last = LastChar(text.substr(0, begin));
      if (last < floor || !(ClassOf(text, last) & kSpaceFlag)) break;
      begin = last;
    }
  }
  if (best->rstrip) {
    while (end < text.size() && (ClassOf(text, end) & kSpaceFlag)) end += Utf8At(text, end).size;
  }
  return {best->id, begin, end};
}

}  // namespace weir::model
