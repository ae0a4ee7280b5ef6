// Small UTF-8 helpers of the tokenizers.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace weir::model {

// GPT-2's printable alphabet: each byte as one character, so that tokens can stand in JSON. Bytes
// that print ('!'..'~', U+00A1..U+00AC, U+00AE..U+00FF) are themselves, the other 68 are U+0100
// onwards in order.
const std::array<std::string, 256>& ByteAlphabet();
std::string ToByteAlphabet(std::string_view bytes);
// nullopt: a character outside of the alphabet.
std::optional<std::string> FromByteAlphabet(std::string_view text);

// The length of the character at the start of `text` (not empty); 1 for a byte that begins none.
size_t Utf8Length(std::string_view text);

}  // namespace weir::model
