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

}  // namespace

Result<Node> ReadToml(std::string_view text, std::string_view source) {
  if (text.size() > kMostBytes)
    return Error(Code::kTooLarge, fmt::format("{}: more than {} MiB", source, kMostBytes >> 20));
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
