#include "gateway/api/openapi.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/version.h"

namespace weir::gateway {

namespace {

using wire::Json;

// "/api/v1/jobs/{job}" -> "jobs"; what stands outside /api/v1 is of the server.
std::string TagOf(const Route& route) {
  constexpr std::string_view kPrefix = "/api/v1/";
  if (!route.path.starts_with(kPrefix)) return "server";
  const std::string rest = route.path.substr(kPrefix.size());
  return rest.substr(0, rest.find('/'));
}

Json Parameters(const Route& route) {
  Json out = Json::array();
  for (const std::string& name : PathParamsOf(route.path)) {
    out.push_back({{"name", name},
                   {"in", "path"},
                   {"required", true},
                   {"description", PathParamDoc(name)},
                   {"schema", {{"type", "string"}}}});
  }
  for (const QueryParam& param : route.query) {
    Json schema;
    switch (param.type) {
      case QueryType::kText:
        schema["type"] = "string";
        if (!param.one_of.empty()) schema["enum"] = param.one_of;
        break;
      case QueryType::kInteger:
        schema["type"] = "integer";
        schema["minimum"] = param.low;
        if (param.high != INT64_MAX) schema["maximum"] = param.high;
        break;
      case QueryType::kFlag:
        schema["type"] = "boolean";
        break;
    }
    out.push_back({{"name", param.name},
                   {"in", "query"},
                   {"required", false},
                   {"description", param.doc},
                   {"schema", std::move(schema)}});
  }
  return out;
}

Json Ref(const std::string& name) { return {{"$ref", "#/components/schemas/" + name}}; }

Json Permission(const Route& route) {
  if (!route.action) return "none";
  return guard::PermissionOf(*route.action).name;
}

std::string Description(const Route& route) {
  if (!route.action) return "Open to everybody, without a key.";
  const guard::Permission& p = guard::PermissionOf(*route.action);
  std::string who;
  for (const guard::Who w : guard::kEveryWho) {
    const guard::Grant grant = p.grant[static_cast<int>(w)];
    if (grant == guard::Grant::kNever) continue;
    if (!who.empty()) who += ", ";
    who += guard::NameOf(w);
    if (grant == guard::Grant::kOwn) who += " (of its own)";
  }
  return fmt::format("Needs the permission {} ({}): {}.", p.name, p.what, who);
}

}  // namespace

Json OpenApiDocument(const std::vector<Route>& routes) {
  Json schemas = Json::object();
  schemas["Problem"] = wire::SchemaOf<wire::Problem>();
  Json paths = Json::object();
  Json tags = Json::array();
  std::vector<std::string> seen_tags;
  for (const Route& route : routes) {
    const std::string tag = TagOf(route);
    if (std::ranges::find(seen_tags, tag) == seen_tags.end()) {
      seen_tags.push_back(tag);
      tags.push_back({{"name", tag}});
    }
    Json operation = {{"operationId", route.operation_id},
                      {"summary", route.summary},
                      {"description", Description(route)},
                      {"tags", Json::array({tag})},
                      {"x-permission", Permission(route)}};
    if (!route.action) operation["security"] = Json::array({Json::object()});
    Json parameters = Parameters(route);
    if (!parameters.empty()) operation["parameters"] = std::move(parameters);
    if (!route.request_type.empty()) {
      schemas[route.request_type] = route.request_schema;
      Json content = {{"schema", Ref(route.request_type)}};
      if (!route.example.is_null()) content["example"] = route.example;
      operation["requestBody"] = {{"required", !route.body_may_be_empty},
                                  {"content", {{"application/json", std::move(content)}}}};
    }
    Json answer = {{"description", fmt::format("{}.", route.summary)}};
    if (!route.reply_type.empty()) {
      schemas[route.reply_type] = route.reply_schema;
      answer["content"] = {{route.content_type, {{"schema", Ref(route.reply_type)}}}};
    } else if (!route.content_type.empty()) {
      answer["content"] = {{route.content_type, Json::object()}};
    }
    operation["responses"] = {
        {std::to_string(route.status), std::move(answer)},
        {"default",
         {{"description", "What went wrong, and the next step."},
          {"content", {{"application/problem+json", {{"schema", Ref("Problem")}}}}}}}};
    std::string method = route.method;
    std::ranges::transform(method, method.begin(), [](unsigned char c) { return std::tolower(c); });
    paths[route.path][method] = std::move(operation);
  }
  return {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Weir"},
        {"version", kVersion},
        {"description",
         "The control plane of a lab. Durations and instants are integers of microseconds and "
         "named "
         "*_us; instants count from 1970, 0 = never. Errors are application/problem+json. Values "
         "of environment variables read \"(hidden)\" except for whoever may see them."}}},
      {"servers", Json::array({{{"url", "/"}}})},
      {"security", Json::array({{{"key", Json::array()}}, Json::object()})},
      {"tags", std::move(tags)},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", std::move(schemas)},
        {"securitySchemes",
         {{"key",
           {{"type", "http"},
            {"scheme", "bearer"},
            {"description",
             "A key made by `weir key create`. Callers on the lab's own machine may read most "
             "things without one, unless the configuration says otherwise."}}}}}}},
  };
}

}  // namespace weir::gateway
