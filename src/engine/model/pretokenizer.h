// Cuts text into the words that a byte-level BPE merges within. Every byte of the text belongs to
// exactly one word. The published patterns, of which this is a linear-time scanner:
//   kGpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   kLlama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
//            | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//   kQwen2   as kLlama3 with \p{N} for \p{N}{1,3}
// Bytes that are not UTF-8 count as symbols, one each.
#pragma once

#include <string_view>

#include "engine/model/tokenizer.h"

namespace weir::model {

// The length of the first word of `text`, which is not empty.
size_t FirstWord(PreTokenizer pre, std::string_view text);

// The pattern as tokenizer.json writes it, and the name that GGUF has for it.
std::string_view PatternOf(PreTokenizer pre);
std::string_view GgufNameOf(PreTokenizer pre);

}  // namespace weir::model
