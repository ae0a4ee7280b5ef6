// The only file here that sees toml++: a TOML file as Nodes, each knowing its line.
#include <fmt/format.h>
#include <toml++/toml.h>

#include "lab/plan/text.h"

namespace weir::plan {

namespace {

constexpr int kDeepest = 8;

std::string Scalar(const toml::node& v) {
  if (const auto* s = v.as_string()) return s->get();
  if (const auto* i = v.as_integer()) return fmt::format("{}", i->get());
  if (const auto* f = v.as_floating_point()) return fmt::format("{}", f->get());
  if (const auto* b = v.as_boolean()) return b->get() ? "true" : "false";
  if (const auto* d = v.as_date())
    return fmt::format("{:04}-{:02}-{:02}", d->get().year, unsigned{d->get().month},
                       unsigned{d->get().day});
  return "";
}

Status Fill(const toml::table& table, std::string_view source, int depth, Node* out) {
  if (depth > kDeepest)
    return Error(Code::kInvalidArgument, fmt::format("{}: tables within tables, too deep", source));
  for (const auto& [key, value] : table) {
    const std::string name(key.str());
    const std::string where = fmt::format("{}:{}", source, value.source().begin.line);
    const auto child = [&](const toml::table& t, const std::string& at) -> Status {
      Node n;
      n.kind = name;
      n.where = at;
      TRY(Fill(t, source, depth + 1, &n));
      out->children.push_back(std::move(n));
      return {};
    };
    if (const auto* t = value.as_table()) {
      TRY(child(*t, where));
    } else if (const auto* a = value.as_array()) {
      std::vector<std::string> list;
      for (const toml::node& e : *a) {
        if (const auto* t2 = e.as_table())
          TRY(child(*t2, fmt::format("{}:{}", source, e.source().begin.line)));
        else
          list.push_back(Scalar(e));
      }
      if (!list.empty() || a->empty()) out->lists.emplace_back(name, std::move(list));
    } else {
      out->values.emplace_back(name, Scalar(value));
    }
  }
  return {};
}

// The line of the first letter beyond ASCII that stands outside of quotes and comments, or 0. TOML
// has none there, and this release of toml++ runs into undefined behaviour on some.
int StrayLetter(std::string_view text) {
  int line = 1;
  char quote = 0;
  bool comment = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
      quote = 0;
      comment = false;
    } else if (comment) {
      continue;
    } else if (quote != 0) {
      if (c == '\\' && quote == '"' && i + 1 < text.size() && text[i + 1] != '\n')
        ++i;
      else if (c == quote)
        quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      comment = true;
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      return line;
    }
  }
  return 0;
}

}  // namespace

Result<Node> ReadToml(std::string_view text, std::string_view source) {
  if (text.size() > kMostBytes)
    return Error(Code::kTooLarge, fmt::format("{}: more than {} MiB", source, kMostBytes >> 20));
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark
  if (const int line = StrayLetter(text); line > 0)
    return Error(Code::kInvalidArgument,
                 fmt::format("{}:{}: a letter beyond ASCII stands outside of quotes", source, line))
        .Hint("quote it, or take it out");
  try {
    const toml::table root = toml::parse(text, source);
    Node out;
    out.kind = "plan file";
    out.where = std::string(source);
    TRY(Fill(root, source, 0, &out));
    return out;
  } catch (const toml::parse_error& e) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{}:{}: {}", source, e.source().begin.line, e.description()))
        .Hint("docs/plan.md has a file to begin with");
  }
}

}  // namespace weir::plan
