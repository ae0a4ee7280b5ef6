#include "engine/model/tokenizer_normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "engine/model/pretokenizer_regex.h"
#include "engine/model/utf8_class.h"

namespace weir::model {
namespace {

using StepKind = NormalizerStep::Kind;

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<int8_t>(c) >= 0; });
}

// Below U+0300 every text is in the composed form already, and most text is.
bool IsComposedForSure(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0xCC; });
}

std::string Mapped(std::string text, int options) {
  utf8proc_uint8_t* made = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &made,
                                             static_cast<utf8proc_option_t>(options));
  if (size >= 0) text.assign(reinterpret_cast<const char*>(made), static_cast<size_t>(size));
  std::free(made);
  return text;
}

template <class F>
std::string EachChar(std::string_view text, const F& f) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = Utf8At(text, i);
    f(c.code, text.substr(i, c.size), out);
    i += c.size;
  }
  return out;
}

bool IsChinese(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B820 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

uint8_t ClassOf(uint32_t code) {
  return code == kNoCode ? uint8_t{kNone} : CharTable::Get().Of(code);
}

std::string Lower(std::string_view text) {
  return EachChar(text, [](uint32_t code, std::string_view bytes, std::string& out) {
    if (code < 128) {
      out += code >= 'A' && code <= 'Z' ? static_cast<char>(code + 32) : static_cast<char>(code);
    } else if (code == 0x130) {
      out += "i\xCC\x87";  // the one letter whose lower case is two characters
    } else if (code == kNoCode) {
      out += bytes;
    } else {
      AppendUtf8(static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))), out);
    }
  });
}

std::string Stripped(std::string_view text, bool left, bool right) {
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    const Utf8Char c = Utf8At(text, begin);
    if (!(ClassOf(c.code) & kSpaceFlag)) break;
    begin += c.size;
  }
  if (right) {
    size_t last = begin;  // behind the last character that is not white
    for (size_t i = begin; i < end;) {
      const Utf8Char c = Utf8At(text, i);
      i += c.size;
      if (!(ClassOf(c.code) & kSpaceFlag)) last = i;
    }
    end = last;
  }
  return std::string(text.substr(begin, end - begin));
}

std::string Replaced(const NormalizerStep& step, std::string_view text) {
  std::string out;
  size_t at = 0;
  const auto put = [&](size_t begin, size_t end) {
    out.append(text.substr(at, begin - at));
    out += step.with;
    at = end;
  };
  if (step.regex) {
    for (const auto& [begin, end] : step.compiled->FindAll(text)) put(begin, end);
  } else {
    for (size_t i = text.find(step.what); i != std::string_view::npos;
         i = text.find(step.what, i + step.what.size())) {
      put(i, i + step.what.size());
    }
  }
  out.append(text.substr(at));
  return out;
}

std::string Applied(const NormalizerStep& step, std::string text) {
  switch (step.kind) {
    case StepKind::kNfc:
      return IsComposedForSure(text) ? text
                                     : Mapped(std::move(text), UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    case StepKind::kNfkc:
      return IsAscii(text)
                 ? text
                 : Mapped(std::move(text), UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
    case StepKind::kNfd:
      return IsAscii(text) ? text : Mapped(std::move(text), UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
    case StepKind::kNfkd:
      return IsAscii(text)
                 ? text
                 : Mapped(std::move(text), UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
    case StepKind::kLowercase:
      return Lower(text);
    case StepKind::kStripAccents:
      return EachChar(text, [](uint32_t code, std::string_view bytes, std::string& out) {
        if (code == kNoCode || (ClassOf(code) & kCategoryMask) != kMn) out += bytes;
      });
    case StepKind::kPrepend:
      return text.empty() ? text : step.with + text;
    case StepKind::kReplace:
      return Replaced(step, text);
    case StepKind::kStrip:
      return Stripped(text, step.left, step.right);
    case StepKind::kCleanText:
      return EachChar(text, [](uint32_t code, std::string_view bytes, std::string& out) {
        if (code == 0 || code == 0xFFFD) return;
        if (code == '\t' || code == '\n' || code == '\r') {
          out += ' ';
          return;
        }
        const uint8_t cls = ClassOf(code);
        if ((kOthers >> (cls & kCategoryMask) & 1) && code != kNoCode) return;
        if (cls & kSpaceFlag) {
          out += ' ';
        } else {
          out += bytes;
        }
      });
    case StepKind::kSpaceCjk:
      return EachChar(text, [](uint32_t code, std::string_view bytes, std::string& out) {
        if (IsChinese(code)) {
          out += ' ';
          out += bytes;
          out += ' ';
        } else {
          out += bytes;
        }
      });
  }
  return text;
}

}  // namespace

Status Normalizer::Add(NormalizerStep step) {
  if (step.kind == StepKind::kReplace) {
    if (step.what.empty()) return Error(Code::kInvalidArgument, "a normalizer replaces nothing");
    if (step.regex) step.compiled = TRY(SplitRegex::Create(step.what));
  }
  steps_.push_back(std::move(step));
  return {};
}

std::string Normalizer::Apply(std::string_view text) const {
  std::string out(text);
  for (const NormalizerStep& step : steps_) out = Applied(step, std::move(out));
  return out;
}

}  // namespace weir::model
