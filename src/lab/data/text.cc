#include "lab/data/text.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <vector>

namespace weir::data {

namespace {

void AppendUtf8(uint32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

Result<std::string> DecodeUtf16(std::string_view bytes, bool little) {
  std::string out;
  const auto unit = [&](size_t i) -> uint32_t {
    const auto a = static_cast<unsigned char>(bytes[i]),
               b = static_cast<unsigned char>(bytes[i + 1]);
    return little ? a | (b << 8) : b | (a << 8);
  };
  for (size_t i = 2; i + 1 < bytes.size(); i += 2) {
    uint32_t c = unit(i);
    if (c >= 0xD800 && c < 0xDC00 && i + 3 < bytes.size()) {
      const uint32_t low = unit(i + 2);
      if (low >= 0xDC00 && low < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        i += 2;
      }
    }
    if (c == 0 || (c >= 0xD800 && c < 0xE000)) {
      return Error(Code::kInvalidArgument, "binary: broken UTF-16");
    }
    AppendUtf8(c, out);
  }
  return out;
}

}  // namespace

bool IsGzip(std::string_view b) {
  return b.size() > 2 && b[0] == '\x1f' && static_cast<unsigned char>(b[1]) == 0x8b;
}

Result<std::string> Gunzip(std::string_view bytes, int64_t max_bytes) {
  z_stream z{};
  if (inflateInit2(&z, 15 + 16) != Z_OK) return Error(Code::kInternal, "zlib could not start");
  std::string out;
  std::array<char, 1 << 16> buffer;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  Status status;
  for (;;) {
    z.next_out = reinterpret_cast<Bytef*>(buffer.data());
    z.avail_out = buffer.size();
    const int code = inflate(&z, Z_NO_FLUSH);
    out.append(buffer.data(), buffer.size() - z.avail_out);
    if (static_cast<int64_t>(out.size()) > max_bytes) {
      status =
          Error(Code::kTooLarge, fmt::format("more than {} bytes once decompressed", max_bytes));
      break;
    }
    if (code == Z_STREAM_END) {
      if (z.avail_in == 0) break;
      if (!IsGzip({reinterpret_cast<const char*>(z.next_in), z.avail_in}) ||
          inflateReset(&z) != Z_OK)
        break;
      continue;  // another member follows
    }
    if (code != Z_OK || (z.avail_in == 0 && z.avail_out != 0)) {
      status = Error(Code::kDataLoss, "gzip stream is damaged or ends early");
      break;
    }
  }
  inflateEnd(&z);
  TRY(std::move(status));
  return out;
}

bool IsUtf8(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    const auto c = static_cast<unsigned char>(s[i]);
    const int extra = c < 0x80                  ? 0
                      : (c >= 0xC2 && c < 0xE0) ? 1
                      : (c >= 0xE0 && c < 0xF0) ? 2
                      : (c >= 0xF0 && c < 0xF5) ? 3
                                                : -1;
    if (extra < 0 || i + static_cast<size_t>(extra) >= s.size()) return false;
    uint32_t value = extra == 0 ? c : c & (0x3Fu >> extra);
    for (int k = 1; k <= extra; ++k) {
      const auto next = static_cast<unsigned char>(s[i + static_cast<size_t>(k)]);
      if ((next & 0xC0) != 0x80) return false;
      value = (value << 6) | (next & 0x3F);
    }
    if ((extra == 2 && (value < 0x800 || (value >= 0xD800 && value < 0xE000))) ||
        (extra == 3 && (value < 0x10000 || value > 0x10FFFF))) {
      return false;
    }
    i += 1 + static_cast<size_t>(extra);
  }
  return true;
}

Result<std::string> DecodeText(std::string_view b) {
  if (b.size() >= 2 && b[0] == '\xff' && b[1] == '\xfe') return DecodeUtf16(b, true);
  if (b.size() >= 2 && b[0] == '\xfe' && b[1] == '\xff') return DecodeUtf16(b, false);
  if (b.substr(0, 3) == "\xef\xbb\xbf") b.remove_prefix(3);
  size_t control = 0, high = 0;
  for (const char c : b) {
    const auto u = static_cast<unsigned char>(c);
    if (u == 0) return Error(Code::kInvalidArgument, "binary: it holds a NUL byte");
    if (u < 32 && c != '\n' && c != '\t' && c != '\r' && c != '\f' && c != '\b' && c != 27)
      ++control;
    if (u >= 128) ++high;
  }
  if (control * 10 > b.size())
    return Error(Code::kInvalidArgument, "binary: mostly control characters");
  if (IsUtf8(b)) return std::string(b);
  if (high * 3 > b.size())
    return Error(Code::kInvalidArgument, "binary: neither UTF-8 nor Latin-1 text");
  std::string out;
  out.reserve(b.size() + high);
  for (const char c : b) AppendUtf8(static_cast<unsigned char>(c), out);
  return out;
}

bool LooksLikeTroff(std::string_view text) {
  int macros = 0, lines = 0;
  for (size_t at = 0; at < text.size() && lines < 60;) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    for (const std::string_view head : {".TH ", ".Dd ", ".SH ", ".Sh ", ".\\\" ", "'\\\" "}) {
      if (line.substr(0, head.size()) == head) {
        ++macros;
        break;
      }
    }
    ++lines;
    at = end + 1;
  }
  return macros >= 2;
}

namespace {

// One line with its escapes resolved: \fB, \s-1 and the like vanish; named characters are kept
// where they are ASCII.
void AppendUnescaped(std::string_view line, std::string& out) {
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      out += line[i];
      continue;
    }
    if (++i >= line.size()) break;
    const auto skip_name = [&] {  // one character, (xx or [name]; returns the name
      if (++i >= line.size()) return std::string_view{};
      if (line[i] == '(') {
        const std::string_view name = line.substr(i + 1, 2);
        i += 2;
        return name;
      }
      if (line[i] == '[') {
        const size_t end = std::min(line.find(']', i), line.size());
        const std::string_view name = line.substr(i + 1, end - i - 1);
        i = end;
        return name;
      }
      return line.substr(i, 1);
    };
    switch (line[i]) {
      case '"':
      case '#':
        return;  // a comment
      case '-':
        out += '-';
        break;
      case 'e':
      case '\\':
        out += '\\';
        break;
      case ' ':
      case '~':
      case '0':
        out += ' ';
        break;
      case '&':
      case '|':
      case '^':
      case '/':
      case ',':
      case ':':
      case '%':
      case 'c':
        break;
      case '\'':
      case '`':
      case '.':
        out += line[i];
        break;
      case 'f':
      case 'm':
      case 'M':
      case 'F':
      case '*':
      case 'n':
        (void)skip_name();
        break;
      case 's':
        if (i + 1 < line.size() && (line[i + 1] == '+' || line[i + 1] == '-')) ++i;
        while (i + 1 < line.size() && line[i + 1] >= '0' && line[i + 1] <= '9') ++i;
        break;
      case '(':
      case '[': {
        --i;
        const std::string_view name = skip_name();
        if (name == "aq" || name == "cq" || name == "oq")
          out += '\'';
        else if (name == "dq" || name == "lq" || name == "rq")
          out += '"';
        else if (name == "em" || name == "en" || name == "hy" || name == "mi")
          out += '-';
        else if (name == "bu")
          out += '*';
        else if (name == "ti")
          out += '~';
        else if (name == "ha")
          out += '^';
        else if (name == "rs")
          out += '\\';
        break;
      }
      case 'h':
      case 'v':
      case 'w':
      case 'o':
      case 'l':
      case 'L':
      case 'D':
      case 'X':
      case 'Z':
      case 'N':
      case 'k': {  // take an argument between quotes
        if (i + 1 < line.size()) i = std::min(line.find(line[i + 1], i + 2), line.size());
        break;
      }
      default:
        break;
    }
  }
}

// Macros whose arguments are words to read.
bool IsTextMacro(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "B",  "I",  "BR", "RB", "BI", "IB", "IR", "RI", "SM", "SB", "SH", "SS",
      "Sh", "Ss", "Nm", "Nd", "Fl", "Ar", "Cm", "Pa", "Xr", "Em", "Sy", "Li",
      "Ql", "Dq", "Sq", "Op", "It", "Ev", "Va", "Fa", "Fn", "Ft", "IP", "TP"};
  for (const std::string_view n : kNames) {
    if (n == name) return true;
  }
  return false;
}

}  // namespace

std::string StripTroff(std::string_view page) {
  std::string out;
  out.reserve(page.size());
  for (size_t at = 0; at < page.size();) {
    const size_t end = std::min(page.find('\n', at), page.size());
    std::string_view line = page.substr(at, end - at);
    at = end + 1;
    if (line.empty() || (line[0] != '.' && line[0] != '\'')) {
      AppendUnescaped(line, out);
      out += '\n';
      continue;
    }
    line.remove_prefix(1);
    while (!line.empty() && (line[0] == ' ' || line[0] == '\t')) line.remove_prefix(1);
    const size_t space = std::min(line.find_first_of(" \t"), line.size());
    const std::string_view name = line.substr(0, space);
    if (name == "PP" || name == "P" || name == "LP" || name == "Pp" || name == "sp") {
      out += '\n';
      continue;
    }
    if (!IsTextMacro(name)) continue;
    std::string words;
    for (const char c : line.substr(space)) {
      if (c != '"') words += c;
    }
    const size_t first = words.find_first_not_of(" \t");
    if (first == std::string::npos) continue;
    if (name == "SH" || name == "SS" || name == "Sh" || name == "Ss") out += '\n';
    AppendUnescaped(std::string_view(words).substr(first), out);
    out += '\n';
  }
  return out;
}

}  // namespace weir::data
