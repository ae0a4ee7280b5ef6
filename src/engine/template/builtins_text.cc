// Filters of text, the methods of strings, lists and dicts, and the clock's
// formats.
#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

#include "engine/template/interpreter.h"

namespace weir::templates {
namespace {

using In = Interpreter;
using Kind = Value::Kind;

// One character with its case changed; bytes that are not UTF-8 stay.
std::string Cased(std::string_view c, bool upper) {
  if (c.size() == 1) {
    const char b = c[0];
    if (upper && b >= 'a' && b <= 'z') return std::string(1, static_cast<char>(b - 32));
    if (!upper && b >= 'A' && b <= 'Z') return std::string(1, static_cast<char>(b + 32));
    return std::string(c);
  }
  utf8proc_int32_t code = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(c.data());
  if (utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(c.size()), &code) <= 0)
    return std::string(c);
  if (upper && code == 0xDF) return "SS";
  utf8proc_uint8_t out[4];
  const auto n = utf8proc_encode_char(upper ? utf8proc_toupper(code) : utf8proc_tolower(code), out);
  return std::string(reinterpret_cast<const char*>(out), static_cast<size_t>(n));
}
std::string AllCased(std::string_view text, bool upper) {
  std::string out;
  for (const std::string_view c : Characters(text)) out += Cased(c, upper);
  return out;
}
utf8proc_category_t CategoryOf(std::string_view c) {
  utf8proc_int32_t code = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(c.data());
  if (utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(c.size()), &code) <= 0) {
    return UTF8PROC_CATEGORY_CN;
  }
  return utf8proc_category(code);
}
bool IsLetter(std::string_view c) {
  const auto category = CategoryOf(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}
bool IsNumber(std::string_view c) {
  const auto category = CategoryOf(c);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

std::string Stripped(std::string_view text, const std::string* set, bool left, bool right) {
  const std::vector<std::string_view> all = Characters(text);
  std::vector<std::string_view> wanted;
  if (set != nullptr) wanted = Characters(*set);
  const auto goes = [&](std::string_view c) {
    return set == nullptr ? IsSpaceCharacter(c)
                          : std::find(wanted.begin(), wanted.end(), c) != wanted.end();
  };
  size_t begin = 0, end = all.size();
  while (left && begin < end && goes(all[begin])) ++begin;
  while (right && end > begin && goes(all[end - 1])) --end;
  if (begin >= end) return "";
  return std::string(
      all[begin].data(),
      static_cast<size_t>(all[end - 1].data() + all[end - 1].size() - all[begin].data()));
}

// Lines without their breaks, as str.splitlines() cuts them.
std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  std::string line;
  const std::vector<std::string_view> all = Characters(text);
  bool open = false;
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string_view c = all[i];
    const bool ends = c == "\n" || c == "\r" || c == "\v" || c == "\f" || c == "\x1c" ||
                      c == "\x1d" || c == "\x1e" || c == "\u0085" || c == "\u2028" || c == "\u2029";
    if (!ends) {
      line += c;
      open = true;
      continue;
    }
    if (c == "\r" && i + 1 < all.size() && all[i + 1] == "\n") ++i;
    lines.push_back(std::exchange(line, ""));
    open = false;
  }
  if (open) lines.push_back(line);
  return lines;
}

std::string Capitalized(std::string_view text) {
  std::string out;
  bool first = true;
  for (const std::string_view c : Characters(text)) out += Cased(c, std::exchange(first, false));
  return out;
}

Result<std::string> Replaced(In& in, const std::string& text, const std::string& from,
                             const std::string& to, int64_t count) {
  std::string out;
  int64_t done = 0;
  if (from.empty()) {  // between all characters
    for (const std::string_view c : Characters(text)) {
      if (count < 0 || done++ < count) out += to;
      out += c;
    }
    if (count < 0 || done < count) out += to;
  } else {
    size_t at = 0;
    for (size_t i = text.find(from); i != std::string::npos && (count < 0 || done < count);
         i = text.find(from, at), ++done) {
      out.append(text, at, i - at);
      out += to;
      at = i + from.size();
      if (out.size() > in.options().limits.output_bytes) return in.Bad("a text beyond its bound");
    }
    out.append(text, at);
  }
  TRY(in.Charge(out.size()));
  return out;
}

Result<std::string> TextOf(In& in, const Value& v, std::string_view what) {
  if (v.undefined()) return std::string();
  if (v.list() || v.dict() || v.Is(Kind::kCallable)) {
    if (what == "string") return ToText(v);
  }
  (void)in;
  return ToText(v);
}
Result<std::string> TextArgument(In& in, const Arguments& a, size_t at, std::string_view name) {
  const Value* given = Given(a, at, name);
  if (given == nullptr || !given->string()) {
    return in.Bad(fmt::format("{} has to be a str", name));
  }
  return given->text();
}
int64_t CountArgument(const Arguments& a, size_t at, std::string_view name) {
  const Value* given = Given(a, at, name);
  return given != nullptr && given->integer() ? given->int_value() : -1;
}

Result<Value> Trim(In& in, const Value& v, Arguments& a) {
  const Value* chars = Given(a, 0, "chars");
  const std::string set = chars != nullptr && chars->string() ? chars->text() : "";
  return in.Text(
      Stripped(ToText(v), chars != nullptr && chars->string() ? &set : nullptr, true, true));
}
Result<Value> Upper(In& in, const Value& v, Arguments&) {
  return in.Text(AllCased(ToText(v), true));
}
Result<Value> Lower(In& in, const Value& v, Arguments&) {
  return in.Text(AllCased(ToText(v), false));
}
Result<Value> Capitalize(In& in, const Value& v, Arguments&) {
  return in.Text(Capitalized(ToText(v)));
}
Result<Value> Title(In& in, const Value& v,
                    Arguments&) {  // words begin behind - ( { [ < and space
  const std::string text = ToText(v);
  std::string out;
  bool begins = true;
  for (const std::string_view c : Characters(text)) {
    out += Cased(c, begins);
    begins = IsSpaceCharacter(c) || c == "-" || c == "(" || c == "{" || c == "[" || c == "<";
  }
  return in.Text(std::move(out));
}
Result<Value> StringOf(In& in, const Value& v, Arguments&) {
  return in.Text(TRY(TextOf(in, v, "string")));
}
Result<Value> Safe(In&, const Value& v, Arguments&) {
  return v.undefined() ? Value::String("") : v;
}
Result<Value> Escape(In& in, const Value& v, Arguments&) {
  std::string out;
  for (const char c : ToText(v)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return in.Text(std::move(out));
}
Result<Value> Replace(In& in, const Value& v, Arguments& a) {
  const Value* from = Given(a, 0, "old");
  const Value* to = Given(a, 1, "new");
  if (from == nullptr || to == nullptr) return in.Bad("replace needs what to replace, and by what");
  return in.Text(
      TRY(Replaced(in, ToText(v), ToText(*from), ToText(*to), CountArgument(a, 2, "count"))));
}
Result<Value> Indent(In& in, const Value& v, Arguments& a) {
  const Value* width = Given(a, 0, "width");
  std::string pad(4, ' ');
  if (width != nullptr && width->string()) pad = width->text();
  if (width != nullptr && width->integer()) {
    if (width->int_value() < 0 || width->int_value() > 1000) return in.Bad("indent by 0 to 1000");
    pad.assign(static_cast<size_t>(width->int_value()), ' ');
  }
  const Value* first = Given(a, 1, "first");
  const Value* blank = Given(a, 2, "blank");
  const bool blanks = blank != nullptr && blank->Truthy();
  const std::vector<std::string> lines = Lines(ToText(v) + "\n");  // (so that an end counts)
  TRY(in.Charge(lines.size() * (pad.size() + 1)));
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out += '\n';
      if (blanks || !lines[i].empty()) out += pad;
    }
    out += lines[i];
  }
  if (first != nullptr && first->Truthy()) out = pad + out;
  return in.Text(std::move(out));
}
Result<Value> WordCount(In&, const Value& v, Arguments&) {
  int64_t words = 0;
  bool inside = false;
  const std::string text = ToText(v);
  for (const std::string_view c : Characters(text)) {
    const bool word = IsLetter(c) || IsNumber(c) || c == "_";
    words += word && !inside;
    inside = word;
  }
  return Value::Int(words);
}
Result<Value> Truncate(In& in, const Value& v, Arguments& a) {
  const int64_t given = CountArgument(a, 0, "length");
  const int64_t length = given < 0 ? 255 : given;
  const Value* kill = Given(a, 1, "killwords");
  const Value* end = Given(a, 2, "end");
  const std::string tail = end != nullptr ? ToText(*end) : "...";
  const int64_t more = CountArgument(a, 3, "leeway");
  const std::string text = ToText(v);
  const auto all = Characters(text);
  const auto n = static_cast<int64_t>(all.size());
  const auto tail_size = static_cast<int64_t>(CountCharacters(tail));
  if (n <= length + (more < 0 ? 5 : more)) return in.Text(text);
  if (length < tail_size) return in.Bad("truncate to less than its end");
  std::string kept;
  for (int64_t i = 0; i < length - tail_size; ++i) kept += all[static_cast<size_t>(i)];
  if (kill == nullptr || !kill->Truthy()) {
    const size_t space = kept.rfind(' ');
    if (space != std::string::npos) kept.resize(space);
  }
  return in.Text(kept + tail);
}
// %s %d %f %x with flags, width and precision; what the arguments are for.
Result<Value> Format(In& in, const Value& v, Arguments& a) {
  const std::string pattern = ToText(v);
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      out += pattern[i];
      continue;
    }
    std::string flags;
    int width = 0, precision = -1;
    const Value* named = nullptr;
    ++i;
    if (i < pattern.size() && pattern[i] == '(') {
      const size_t end = pattern.find(')', i);
      if (end == std::string::npos) return in.Bad("format: %( without )");
      named = Given(a, SIZE_MAX, pattern.substr(i + 1, end - i - 1));
      if (named == nullptr) return in.Bad("format: a name that no argument has");
      i = end + 1;
    }
    while (i < pattern.size() &&
           std::string_view("-+ 0#").find(pattern[i]) != std::string_view::npos) {
      flags += pattern[i++];
    }
    const auto number = [&](int otherwise) {
      int n = otherwise;
      while (i < pattern.size() && pattern[i] >= '0' && pattern[i] <= '9') {
        n = std::min(1000, std::max(n, 0) * 10 + (pattern[i++] - '0'));
      }
      return n;
    };
    width = number(0);
    if (i < pattern.size() && pattern[i] == '.') {
      ++i;
      precision = number(0);
    }
    if (i >= pattern.size()) return in.Bad("format: a % at the end");
    const char kind = pattern[i];
    if (kind == '%') {
      out += '%';
      continue;
    }
    if (named == nullptr) {
      if (next >= a.positional.size()) return in.Bad("format: too few arguments");
      named = &a.positional[next++];
    }
    std::string text;
    const bool zero = flags.find('0') != std::string::npos;
    const bool minus = flags.find('-') != std::string::npos;
    const std::string sign = flags.find('+') != std::string::npos   ? "+"
                             : flags.find(' ') != std::string::npos ? " "
                                                                    : "";
    switch (kind) {
      case 's':
      case 'r':
        text = kind == 's' ? ToText(*named) : ToRepr(*named);
        if (precision >= 0) {
          std::string cut;
          int n = 0;
          for (const std::string_view c : Characters(text)) {
            if (n++ < precision) cut += c;
          }
          text = cut;
        }
        break;
      case 'd':
      case 'i':
      case 'x':
      case 'X': {
        if (!named->number())
          return in.Bad(fmt::format("format: %{} of a {}", kind, named->TypeName()));
        if (named->Is(Kind::kFloat) && !(std::abs(named->number_value()) < 9.2e18)) {
          return in.Bad("format: a number beyond 64 bits");
        }
        const int64_t n =
            named->integer() ? named->int_value() : static_cast<int64_t>(named->number_value());
        text = kind == 'x'   ? fmt::format("{:x}", n)
               : kind == 'X' ? fmt::format("{:X}", n)
                             : fmt::format("{}", n);
        if (n >= 0) text = sign + text;
        break;
      }
      case 'f':
      case 'F':
      case 'g':
      case 'e': {
        if (!named->number())
          return in.Bad(fmt::format("format: %{} of a {}", kind, named->TypeName()));
        const double d = named->number_value();
        const int digits = precision < 0 ? 6 : std::min(precision, 100);
        text = kind == 'g'   ? fmt::format("{:.{}g}", d, digits)
               : kind == 'e' ? fmt::format("{:.{}e}", d, digits)
                             : fmt::format("{:.{}f}", d, digits);
        if (d >= 0) text = sign + text;
        break;
      }
      default:
        return in.Bad(fmt::format("format: %{} is not offered", kind));
    }
    const auto size = static_cast<int>(CountCharacters(text));
    if (size < width) {
      const std::string pad(static_cast<size_t>(width - size),
                            zero && kind != 's' && !minus ? '0' : ' ');
      const size_t signs =
          pad[0] == '0' && !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
      text = minus ? text + pad : text.substr(0, signs) + pad + text.substr(signs);
    }
    out += text;
  }
  return in.Text(std::move(out));
}
Result<Value> UrlEncode(In& in, const Value& v, Arguments&) {
  std::string out;
  for (const char c : ToText(v)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("_.-~/").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<uint8_t>(c));
    }
  }
  return in.Text(std::move(out));
}

// --- Methods.

Result<Value> Strings(In& in, std::vector<std::string> parts) {
  std::vector<Value> items;
  for (std::string& part : parts) items.push_back(TRY(in.Text(std::move(part))));
  return in.MakeList(std::move(items));
}

Result<Value> Split(In& in, const std::string& text, Arguments& a, bool from_right) {
  const Value* sep = Given(a, 0, "sep");
  const int64_t max = CountArgument(a, 1, "maxsplit");
  std::vector<std::string> parts;
  if (sep == nullptr || sep->none()) {             // at runs of white space
    std::vector<std::pair<size_t, size_t>> words;  // begin, end in bytes
    size_t i = 0;
    bool inside = false;
    for (const std::string_view c : Characters(text)) {
      const bool space = IsSpaceCharacter(c);
      if (!space && !inside) words.emplace_back(i, i);
      if (!space) words.back().second = i + c.size();
      inside = !space;
      i += c.size();
    }
    const auto n = static_cast<int64_t>(words.size());
    if (max < 0 || n <= max + 1) {
      for (const auto& [b, e] : words) parts.push_back(text.substr(b, e - b));
    } else if (!from_right) {
      for (int64_t k = 0; k < max; ++k) {
        const auto& [b, e] = words[static_cast<size_t>(k)];
        parts.push_back(text.substr(b, e - b));
      }
      parts.push_back(Stripped(std::string_view(text).substr(words[static_cast<size_t>(max)].first),
                               nullptr, true, false));
    } else {
      parts.push_back(text.substr(0, words[static_cast<size_t>(n - max - 1)].second));
      for (int64_t k = n - max; k < n; ++k) {
        const auto& [b, e] = words[static_cast<size_t>(k)];
        parts.push_back(text.substr(b, e - b));
      }
    }
    return Strings(in, std::move(parts));
  }
  if (!sep->string() || sep->text().empty()) return in.Bad("split at what is no text");
  const std::string& at = sep->text();
  if (!from_right) {
    size_t begin = 0;
    for (size_t i = text.find(at);
         i != std::string::npos && (max < 0 || static_cast<int64_t>(parts.size()) < max);
         i = text.find(at, begin)) {
      parts.push_back(text.substr(begin, i - begin));
      begin = i + at.size();
    }
    parts.push_back(text.substr(begin));
  } else {
    size_t end = text.size();
    while (max < 0 || static_cast<int64_t>(parts.size()) < max) {
      const size_t i = end < at.size() ? std::string::npos : text.rfind(at, end - at.size());
      if (i == std::string::npos) break;
      parts.push_back(text.substr(i + at.size(), end - i - at.size()));
      end = i;
    }
    parts.push_back(text.substr(0, end));
    std::reverse(parts.begin(), parts.end());
  }
  return Strings(in, std::move(parts));
}

// startswith and endswith: one text, or a tuple of them.
Result<Value> Ends(In& in, const std::string& text, Arguments& a, bool at_end) {
  if (a.positional.empty()) return in.Bad("startswith and endswith need a text");
  std::vector<Value> all = {a.positional[0]};
  if (all[0].list()) all = Value(all[0]).items().items;
  for (const Value& v : all) {
    if (!v.string()) return in.Bad("startswith and endswith need a text");
    if (at_end ? text.ends_with(v.text()) : text.starts_with(v.text())) return Value::Bool(true);
  }
  return Value::Bool(false);
}

template <class F>
Value AllOf(const std::string& text, const F& f) {
  const auto all = Characters(text);
  return Value::Bool(!all.empty() && std::all_of(all.begin(), all.end(), f));
}

Result<Value> Padded(In& in, const std::string& text, Arguments& a, int where) {
  const int64_t width = std::min<int64_t>(CountArgument(a, 0, "width"), 100'000);
  const Value* fill = Given(a, 1, "fillchar");
  const std::string with = fill != nullptr ? ToText(*fill) : " ";
  const int64_t missing = std::max<int64_t>(0, width - static_cast<int64_t>(CountCharacters(text)));
  // center puts the odd one to the left only where the width is odd, as Python
  // does
  const int64_t left = where < 0 ? 0 : where > 0 ? missing : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += with;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += with;
  return in.Text(std::move(out));
}

constexpr std::string_view kStringMethods[] = {
    "strip",    "lstrip",  "rstrip",       "split",        "rsplit",    "splitlines", "startswith",
    "endswith", "replace", "upper",        "lower",        "title",     "capitalize", "find",
    "rfind",    "count",   "join",         "isdigit",      "isalpha",   "isalnum",    "isspace",
    "isupper",  "islower", "removeprefix", "removesuffix", "zfill",     "ljust",      "rjust",
    "center",   "index",   "partition",    "rpartition",   "isnumeric", "isdecimal",  "swapcase",
    "casefold", "format"};
constexpr std::string_view kListMethods[] = {"index", "count", "copy"};
constexpr std::string_view kDictMethods[] = {"get", "items", "keys", "values", "copy"};
// Methods that would change a list or a dict, which the sandbox does not allow.
constexpr std::string_view kForbidden[] = {"append",  "extend",     "insert", "pop",
                                           "remove",  "clear",      "sort",   "update",
                                           "reverse", "setdefault", "popitem"};

template <class List>
bool Has(const List& list, std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

Result<Value> StringMethod(In& in, const std::string& s, std::string_view name, Arguments& a) {
  const auto position = [&](size_t bytes) {
    return Value::Int(bytes == std::string::npos ? -1
                                                 : static_cast<int64_t>(CountCharacters(
                                                       std::string_view(s).substr(0, bytes))));
  };
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const Value* chars = Given(a, 0, "chars");
    const bool given = chars != nullptr && chars->string();
    const std::string set = given ? chars->text() : "";
    return in.Text(Stripped(s, given ? &set : nullptr, name != "rstrip", name != "lstrip"));
  }
  if (name == "split" || name == "rsplit") return Split(in, s, a, name == "rsplit");
  if (name == "splitlines") return Strings(in, Lines(s));
  if (name == "startswith" || name == "endswith") return Ends(in, s, a, name == "endswith");
  if (name == "upper") return in.Text(AllCased(s, true));
  if (name == "lower" || name == "casefold") return in.Text(AllCased(s, false));
  if (name == "capitalize") return in.Text(Capitalized(s));
  if (name == "title") {
    std::string out;
    bool begins = true;
    for (const std::string_view c : Characters(s)) {
      out += IsLetter(c) ? Cased(c, begins) : std::string(c);
      begins = !IsLetter(c);
    }
    return in.Text(std::move(out));
  }
  if (name == "swapcase") {
    std::string out;
    for (const std::string_view c : Characters(s)) {
      const std::string upper = Cased(c, true);
      out += upper == c ? Cased(c, false) : upper;
    }
    return in.Text(std::move(out));
  }
  if (name == "replace") {
    const std::string from = TRY(TextArgument(in, a, 0, "old"));
    const std::string to = TRY(TextArgument(in, a, 1, "new"));
    return in.Text(TRY(Replaced(in, s, from, to, CountArgument(a, 2, "count"))));
  }
  if (name == "find") return position(s.find(TRY(TextArgument(in, a, 0, "sub"))));
  if (name == "rfind") return position(s.rfind(TRY(TextArgument(in, a, 0, "sub"))));
  if (name == "index") {
    const size_t at = s.find(TRY(TextArgument(in, a, 0, "sub")));
    if (at == std::string::npos) return in.Bad("index of a text that is not there");
    return position(at);
  }
  if (name == "count") {
    const std::string sub = TRY(TextArgument(in, a, 0, "sub"));
    if (sub.empty()) return Value::Int(static_cast<int64_t>(CountCharacters(s)) + 1);
    int64_t n = 0;
    for (size_t i = s.find(sub); i != std::string::npos; i = s.find(sub, i + sub.size())) ++n;
    return Value::Int(n);
  }
  if (name == "join") {
    if (a.positional.empty()) return in.Bad("join needs a list");
    std::string out;
    bool first = true;
    for (const Value& item : TRY(in.Iterate(a.positional[0]))) {
      if (!item.string()) return in.Bad(fmt::format("join of a {}", item.TypeName()));
      if (!std::exchange(first, false)) out += s;
      out += item.text();
    }
    return in.Text(std::move(out));
  }
  if (name == "isdigit" || name == "isnumeric") return AllOf(s, IsNumber);
  if (name == "isdecimal") {
    return AllOf(s, [](std::string_view c) { return CategoryOf(c) == UTF8PROC_CATEGORY_ND; });
  }
  if (name == "isalpha") return AllOf(s, IsLetter);
  if (name == "isalnum") {
    return AllOf(s, [](std::string_view c) { return IsLetter(c) || IsNumber(c); });
  }
  if (name == "isspace") return AllOf(s, IsSpaceCharacter);
  if (name == "isupper" || name == "islower") {
    bool any = false;
    for (const std::string_view c : Characters(s)) {
      const auto category = CategoryOf(c);
      if (category == (name == "isupper" ? UTF8PROC_CATEGORY_LL : UTF8PROC_CATEGORY_LU)) {
        return Value::Bool(false);
      }
      any |= category == (name == "isupper" ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL);
    }
    return Value::Bool(any);
  }
  if (name == "removeprefix" || name == "removesuffix") {
    const std::string part = TRY(TextArgument(in, a, 0, "a prefix or suffix"));
    const bool front = name == "removeprefix";
    if (front ? !s.starts_with(part) : !s.ends_with(part)) return in.Text(s);
    return in.Text(front ? s.substr(part.size()) : s.substr(0, s.size() - part.size()));
  }
  if (name == "partition" || name == "rpartition") {
    const std::string sep = TRY(TextArgument(in, a, 0, "sep"));
    const bool front = name == "partition";
    const size_t at = sep.empty() ? std::string::npos : front ? s.find(sep) : s.rfind(sep);
    std::vector<std::string> parts =
        front ? std::vector<std::string>{s, "", ""} : std::vector<std::string>{"", "", s};
    if (at != std::string::npos) parts = {s.substr(0, at), sep, s.substr(at + sep.size())};
    std::vector<Value> items;
    for (std::string& part : parts) items.push_back(TRY(in.Text(std::move(part))));
    return in.MakeList(std::move(items), true);
  }
  if (name == "zfill") {
    const int64_t width = std::min<int64_t>(CountArgument(a, 0, "width"), 100'000);
    const size_t sign = !s.empty() && (s[0] == '-' || s[0] == '+') ? 1 : 0;
    const int64_t missing = std::max<int64_t>(0, width - static_cast<int64_t>(CountCharacters(s)));
    return in.Text(s.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') +
                   s.substr(sign));
  }
  if (name == "ljust") return Padded(in, s, a, -1);
  if (name == "rjust") return Padded(in, s, a, 1);
  if (name == "center") return Padded(in, s, a, 0);
  // format: "{} and {name}", without format specifications
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    if ((s[i] == '{' || s[i] == '}') && i + 1 < s.size() && s[i + 1] == s[i]) {
      out += s[i++];
      continue;
    }
    if (s[i] != '{') {
      out += s[i];
      continue;
    }
    const size_t end = s.find('}', i);
    if (end == std::string::npos) return in.Bad("format: { without }");
    const std::string field = s.substr(i + 1, end - i - 1);
    const bool number =
        field.empty() ||
        (field.size() < 9 && field.find_first_not_of("0123456789") == std::string::npos);
    const Value* value = number ? Given(a, field.empty() ? next++ : std::stoul(field), "")
                                : Given(a, SIZE_MAX, field);
    if (value == nullptr) return in.Bad(fmt::format("format: nothing for {{{:.40}}}", field));
    out += ToText(*value);
    i = end;
  }
  return in.Text(std::move(out));
}

}  // namespace

bool HasMethod(const Value& object, std::string_view name) {
  if (object.string()) return Has(kStringMethods, name);
  if (object.list()) return Has(kListMethods, name) || Has(kForbidden, name);
  if (object.dict() && !object.members()->is_namespace) {
    return Has(kDictMethods, name) ||
           (Has(kForbidden, name) && object.members()->Find(name) == nullptr);
  }
  return false;
}

Result<Value> CallMethod(In& in, const Value& object, std::string_view name, Arguments& a,
                         bool& known) {
  known = true;
  if (object.string()) return StringMethod(in, object.text(), name, a);
  if (Has(kForbidden, name)) {
    return in.Bad(
        fmt::format("{}() would change a {}, which a template may not", name, object.TypeName()));
  }
  if (name == "copy") return object;
  if (object.list()) {
    if (a.positional.empty()) return in.Bad(fmt::format("{}() needs a value", name));
    const auto& items = object.items().items;
    int64_t n = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      if (!Equal(items[i], a.positional[0])) continue;
      if (name == "index") return Value::Int(static_cast<int64_t>(i));
      ++n;
    }
    if (name == "index") return in.Bad("index of a value that is not there");
    return Value::Int(n);
  }
  if (name == "get") {
    if (a.positional.empty()) return in.Bad("get() needs a key");
    const Value* found = object.members()->Find(a.positional[0]);
    if (found != nullptr) return *found;
    const Value* otherwise = Given(a, 1, "default");
    return otherwise != nullptr ? *otherwise : Value::Nothing();
  }
  std::vector<Value> items;
  for (const auto& [key, member] : object.members()->members) {
    if (name == "items") {
      items.push_back(TRY(in.MakeList({key, member}, true)));
    } else {
      items.push_back(name == "keys" ? key : member);
    }
  }
  return in.MakeList(std::move(items));
}

FilterFunction FindTextFilter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> kFilters = {
      {"capitalize", Capitalize},
      {"e", Escape},
      {"escape", Escape},
      {"format", Format},
      {"indent", Indent},
      {"lower", Lower},
      {"replace", Replace},
      {"safe", Safe},
      {"string", StringOf},
      {"title", Title},
      {"trim", Trim},
      {"truncate", Truncate},
      {"upper", Upper},
      {"urlencode", UrlEncode},
      {"wordcount", WordCount},
  };
  const auto it = kFilters.find(name);
  return it == kFilters.end() ? nullptr : it->second;
}

std::string FormatTime(std::string_view format, int64_t seconds) {
  // Days to a date. Source: H. Hinnant, "chrono-compatible low-level date
  // algorithms", 2021.
  int64_t days = seconds / 86400, rest = seconds % 86400;
  if (rest < 0) rest += 86400, --days;
  const int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
  const int64_t day_of_era = z - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * shifted + 2) / 5 + 1;
  const int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2);
  const int64_t weekday = ((days + 4) % 7 + 7) % 7;  // 0: Sunday
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  constexpr int kBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  const int64_t of_year = kBefore[month - 1] + day + (leap && month > 2);
  constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
  constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};
  const int64_t hour = rest / 3600, minute = rest / 60 % 60, second = rest % 60;
  const std::string_view day_name = kDays[weekday], month_name = kMonths[month - 1];
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    bool pad = true;
    if (format[i + 1] == '-' && i + 2 < format.size()) {
      pad = false;
      ++i;
    }
    const auto two = [&](int64_t n) {
      return pad ? fmt::format("{:02d}", n) : fmt::format("{}", n);
    };
    switch (format[++i]) {
      case 'Y':
        out += fmt::format("{}", year);
        break;
      case 'y':
        out += two((year % 100 + 100) % 100);
        break;
      case 'm':
        out += two(month);
        break;
      case 'd':
        out += two(day);
        break;
      case 'e':
        out += fmt::format("{:2d}", day);
        break;
      case 'H':
        out += two(hour);
        break;
      case 'I':
        out += two(hour % 12 == 0 ? 12 : hour % 12);
        break;
      case 'M':
        out += two(minute);
        break;
      case 'S':
        out += two(second);
        break;
      case 'f':
        out += "000000";
        break;
      case 'j':
        out += pad ? fmt::format("{:03d}", of_year) : fmt::format("{}", of_year);
        break;
      case 'p':
        out += hour < 12 ? "AM" : "PM";
        break;
      case 'A':
        out += day_name;
        break;
      case 'a':
        out += day_name.substr(0, 3);
        break;
      case 'B':
        out += month_name;
        break;
      case 'b':
      case 'h':
        out += month_name.substr(0, 3);
        break;
      case 'w':
        out += fmt::format("{}", weekday);
        break;
      case 'u':
        out += fmt::format("{}", weekday == 0 ? 7 : weekday);
        break;
      case 'F':
        out += FormatTime("%Y-%m-%d", seconds);
        break;
      case 'T':
        out += FormatTime("%H:%M:%S", seconds);
        break;
      case 'D':
        out += FormatTime("%m/%d/%y", seconds);
        break;
      case 'R':
        out += FormatTime("%H:%M", seconds);
        break;
      case 'c':
        out += FormatTime("%a %b %e %H:%M:%S %Y", seconds);
        break;
      case 'x':
        out += FormatTime("%m/%d/%y", seconds);
        break;
      case 'X':
        out += FormatTime("%H:%M:%S", seconds);
        break;
      case 's':
        out += fmt::format("{}", seconds);
        break;
      case 'Z':
        out += "UTC";
        break;
      case 'z':
        out += "+0000";
        break;
      case '%':
        out += '%';
        break;
      default:
        out += '%', out += format[i];
    }
  }
  return out;
}

}  // namespace weir::templates
