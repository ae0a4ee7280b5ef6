#include "gateway/api/route.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/nearest.h"
#include "gateway/api/tables.h"

namespace weir::gateway {

namespace {

Status Fits(const QueryParam& param, const std::string& value) {
  const auto wrong = [&](std::string_view expected) -> Status {
    return Error(Code::kInvalidArgument,
                 fmt::format("query parameter {}: \"{}\" is not {}", param.name, value, expected))
        .Hint(param.doc);
  };
  switch (param.type) {
    case QueryType::kText:
      if (!param.one_of.empty() && std::ranges::find(param.one_of, value) == param.one_of.end())
        return wrong(fmt::format("one of {}", fmt::join(param.one_of, ", ")));
      return {};
    case QueryType::kInteger: {
      int64_t number = 0;
      const char* end = value.data() + value.size();
      const auto [at, ec] = std::from_chars(value.data(), end, number);
      if (ec != std::errc() || at != end) return wrong("an integer");
      if (number < param.low || number > param.high) {
        return wrong(param.high == INT64_MAX ? fmt::format("at least {}", param.low)
                                             : fmt::format("in {}..{}", param.low, param.high));
      }
      return {};
    }
    case QueryType::kFlag:
      if (value != "true" && value != "false" && !value.empty()) return wrong("true or false");
      return {};
  }
  return {};
}

}  // namespace

Result<Query> Query::Parse(std::string_view raw, const std::vector<QueryParam>& params) {
  Query query;
  while (!raw.empty()) {
    const size_t end = std::min(raw.find('&'), raw.size());
    const std::string_view pair = raw.substr(0, end);
    raw.remove_prefix(std::min(end + 1, raw.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    const auto name = io::PercentDecode(pair.substr(0, equals), true);
    const auto value = io::PercentDecode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!name || !value) {
      return Error(Code::kInvalidArgument, fmt::format("query: \"{}\" has a broken %-escape", pair))
          .Hint("write % as %25");
    }
    const auto param = std::ranges::find(params, *name, &QueryParam::name);
    if (param == params.end()) {
      std::vector<std::string> names;
      for (const QueryParam& p : params) names.push_back(p.name);
      const std::string nearest = NearestOf(*name, names);
      return Error(Code::kInvalidArgument, fmt::format("query parameter {} is not known", *name))
          .Hint(names.empty()     ? "this route takes none"
                : nearest.empty() ? fmt::format("known: {}", fmt::join(names, ", "))
                                  : fmt::format("did you mean {}?", nearest));
    }
    if (query.values_.contains(*name)) {
      return Error(Code::kInvalidArgument, fmt::format("query parameter {} is given twice", *name))
          .Hint("give it once");
    }
    TRY(Fits(*param, *value));
    query.values_[*name] = *value;
  }
  return query;
}

std::optional<std::string> Query::Text(const std::string& name) const {
  const auto it = values_.find(name);
  return it == values_.end() ? std::nullopt : std::optional(it->second);
}

std::optional<int64_t> Query::Integer(const std::string& name) const {
  const auto it = values_.find(name);
  if (it == values_.end()) return std::nullopt;
  int64_t number = 0;
  std::from_chars(it->second.data(), it->second.data() + it->second.size(), number);
  return number;
}

bool Query::Flag(const std::string& name) const {
  const auto it = values_.find(name);
  return it != values_.end() && it->second != "false";
}

const wire::LabView& Call::View() {
  if (!view_) view_ = context.lab.View();
  CHECK(view_ != nullptr);
  return *view_;
}

Status Call::Allow(const guard::Resource& resource) {
  allow_was_asked_ = true;
  if (!action_) return {};
  return guard::Authorize(who, *action_, resource);
}

Status Call::AllowTeam(const std::string& team) {
  return Allow({.teams = guard::Ancestry(View().teams, team)});
}

Status Call::AllowTeams(const std::vector<std::string>& teams) {
  for (const std::string& team : teams) TRY(AllowTeam(team));
  return {};
}

void Call::ShowEnvOf(const std::string& team) {
  shows_env_ = guard::Authorize(who, guard::Action::kSeeSecrets,
                                {.teams = guard::Ancestry(View().teams, team)})
                   .has_value();
}

const std::vector<Route>& Routes() {
  static const std::vector<Route> kRoutes = [] {
    std::vector<Route> all;
    AddLabRoutes(all);
    AddWorkRoutes(all);
    AddModelRoutes(all);
    AddMarketRoutes(all);
    AddAdminRoutes(all);
    return all;
  }();
  return kRoutes;
}

std::vector<std::string> PathParamsOf(std::string_view path) {
  std::vector<std::string> names;
  for (size_t at = path.find('{'); at != path.npos; at = path.find('{', at + 1))
    names.emplace_back(path.substr(at + 1, path.find('}', at) - at - 1));
  return names;
}

std::string_view PathParamDoc(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> kDocs[] = {
      {"team", "name of a team"},
      {"job", "id of a job, or its name: the living one, else the only ended one"},
      {"service", "id or name of a service"},
      {"loan", "id of a loan"},
      {"lease", "id of a lease"},
      {"site", "name of a site"},
      {"slot", "id of a slot, site/node/index with every / written as %2F"},
      {"node", "name of a node, or site/node with the / written as %2F"},
      {"dataset", "id of a dataset, or its name"},
      {"version", "model@number, or a model's name for its newest version"},
      {"rollout", "id of a rollout"},
      {"pipeline", "name of a pipeline"},
      {"offer", "id of an offer"},
      {"contract", "id of a contract"},
      {"key", "name of a key"},
  };
  for (const auto& [key, doc] : kDocs) {
    if (key == name) return doc;
  }
  return "";
}

void HideEnv(wire::Json& json) {
  if (json.is_object()) {
    for (auto& [key, value] : json.items()) {
      if (key == "env" && value.is_object()) {
        for (auto& [name, secret] : value.items()) secret = "(hidden)";
      } else {
        HideEnv(value);
      }
    }
  } else if (json.is_array()) {
    for (auto& element : json) HideEnv(element);
  }
}

}  // namespace weir::gateway
