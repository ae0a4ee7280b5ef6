// Added tokens: found in text as they stand, before normalizer and pre-tokenizer (or after the
// normalizer, where "normalized" says so). At each place the longest that is allowed wins. Only for
// tokenizer*.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/model/tokenizer.h"

namespace weir::model {

struct AddedToken {
  Tokenizer::TokenId id = -1;
  std::string content;
  bool lstrip = false, rstrip = false;  // takes the white space before or behind it along
  bool single_word = false;             // not next to a letter, digit, mark or _
  bool normalized = false;              // found in normalized text
  bool special = false;                 // found only with ParseSpecial::kYes
  bool operator==(const AddedToken&) const = default;
};

class AddedTokens {
 public:
  void Add(std::string_view content, Tokenizer::TokenId id, const AddedToken& token);
  bool empty() const { return nodes_.size() <= 1; }
  // Calls text(piece, offset) and token(id) for the parts of `text`, in order.
  template <class OnText, class OnToken>
  void Cut(std::string_view text, ParseSpecial special, const OnText& on_text,
           const OnToken& on_token) const {
    size_t begin = 0;
    if (!empty()) {
      for (size_t i = 0; i < text.size();) {
        if (!first_[static_cast<uint8_t>(text[i])]) {
          ++i;
          continue;
        }
        const Found found = FindAt(text, i, begin, special);
        if (found.id < 0) {
          ++i;
          continue;
        }
        if (found.begin > begin) on_text(text.substr(begin, found.begin - begin), begin);
        on_token(found.id);
        begin = i = found.end;
      }
    }
    if (begin < text.size()) on_text(text.substr(begin), begin);
  }

 private:
  struct Found {
    Tokenizer::TokenId id = -1;
    size_t begin = 0, end = 0;
  };
  Found FindAt(std::string_view text, size_t i, size_t floor, ParseSpecial special) const;

  struct Node {
    std::vector<std::pair<uint8_t, int32_t>> next;
    int32_t token = -1;  // index in tokens_
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::vector<AddedToken> tokens_;
  bool first_[256] = {};
};

}  // namespace weir::model
