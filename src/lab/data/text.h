// From the bytes of one file to plain text, or the reason why not.
//
//   gzip          decompressed, with a bound against bombs
//   encoding      UTF-8 (with or without BOM), UTF-16 with BOM, else Latin-1 if it looks like text
//   binary        a NUL byte, or more than one in ten bytes is a control character
//   man pages     troff macros and escapes taken out, the words kept
//
// Threads   pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::data {

// kTooLarge beyond max_bytes; kDataLoss when the stream is damaged or ends early.
Result<std::string> Gunzip(std::string_view bytes, int64_t max_bytes);
bool IsGzip(std::string_view bytes);

// Valid UTF-8 without NUL. kInvalidArgument, with "binary", when it is no text.
Result<std::string> DecodeText(std::string_view bytes);

// Whether these bytes are well-formed UTF-8: no overlong forms, surrogates, or values past
// U+10FFFF.
bool IsUtf8(std::string_view bytes);

// The readable text of a troff man or mdoc page. Never fails: what it does not know it leaves out.
std::string StripTroff(std::string_view page);
bool LooksLikeTroff(std::string_view text);

}  // namespace weir::data
