// One table of routes: the server's dispatch and the OpenAPI document are both made from it.
//
// A Route says its method and path, who may use it (an action of guard/), its query parameters, the
// JSON Schema of what it takes and answers, and the function that does it. dispatch.h checks all of
// that before the function runs: the key, the permission, the query, the size of the body.
//
// Threads   a handler runs on a worker thread of the API and may block for the length of one
//           durable change. Routes are immutable once made.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "control/lab.h"
#include "io/http_message.h"
#include "lab/guard/access.h"
#include "lab/guard/keys.h"
#include "wire/api.h"
#include "wire/view.h"

namespace weir::gateway {

class Stream;       // streams.h
class MetricsText;  // metrics.h

enum class QueryType { kText, kInteger, kFlag };
struct QueryParam {
  std::string name;
  QueryType type = QueryType::kText;
  std::string doc;
  int64_t low = 0;  // integers: both ends allowed
  int64_t high = INT64_MAX;
  std::vector<std::string> one_of = {};  // text: empty = anything
};

// What a request gave for the parameters of its route. Absent ones are absent.
class Query {
 public:
  // Strict: an unknown or repeated name, a broken escape or a value that does not fit is
  // kInvalidArgument with what would be right.
  static Result<Query> Parse(std::string_view raw, const std::vector<QueryParam>& params);
  std::optional<std::string> Text(const std::string& name) const;
  std::optional<int64_t> Integer(const std::string& name) const;
  bool Flag(const std::string& name) const;  // absent: false; given without a value: true

 private:
  std::map<std::string, std::string> values_;
};

// What every handler may use.
struct ApiContext {
  control::Lab& lab;
  guard::KeyRing& keys;
  std::function<void(MetricsText&)> metrics;    // everything that /metrics shows
  std::function<const std::string&()> openapi;  // the document
};

// One request, checked as far as the table tells.
class Call {
 public:
  Call(const ApiContext& context_in, guard::Principal who_in, Time now_in,
       std::optional<guard::Action> action)
      : context(context_in), who(std::move(who_in)), now(now_in), action_(action) {}

  const ApiContext& context;
  const guard::Principal who;
  const Time now;
  Query query;
  std::string body;
  std::map<std::string, std::string> path;  // {job} -> "job-12"

  control::Lab& lab() const { return context.lab; }
  control::Actor actor() const { return {who.name}; }
  const std::string& Path(const std::string& name) const { return path.at(name); }
  // The newest view, the same one for the length of the call.
  const wire::LabView& View();

  // The route's action on this resource. A handler calls it before it does anything, unless the
  // role has the action on everything; one that forgot is caught after its first run (CHECK).
  Status Allow(const guard::Resource& resource);
  // On things of this team (and its place in the tree).
  Status AllowTeam(const std::string& team);
  Status AllowTeams(const std::vector<std::string>& teams);  // all of them
  bool allow_was_asked() const { return allow_was_asked_; }

  // Whether values of environment variables of this team's work may be shown to the caller.
  void ShowEnvOf(const std::string& team);
  bool shows_env() const { return shows_env_; }

 private:
  const std::optional<guard::Action> action_;
  std::shared_ptr<const wire::LabView> view_;
  bool allow_was_asked_ = false;
  bool shows_env_ = false;
};

struct Reply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  io::HttpFields headers;
  std::shared_ptr<Stream> stream;  // when set, the answer goes on through it and body is not used
};

struct Route {
  std::string method;
  std::string path;          // "/api/v1/jobs/{job}/cancel"
  std::string operation_id;  // "cancelJob"
  std::string summary;
  std::optional<guard::Action> action;  // none: open to everybody, also from other machines
  std::vector<QueryParam> query;
  std::string request_type;  // empty: takes no body
  wire::Json request_schema;
  wire::Json example;  // of a body
  bool body_may_be_empty = false;
  size_t max_body_bytes = 0;  // where it may be larger than others; the server's own bound holds
  int status = 200;
  std::string reply_type;  // name of the schema; empty: see content_type
  wire::Json reply_schema;
  std::string content_type = "application/json";
  // Answered on the connection's own thread, so even when every worker waits for a disk: for what
  // reads the view and nothing else.
  bool quick = false;
  std::function<Result<Reply>(Call&)> handle;
};

// Every route, in the order of the document. Fixed for the life of the program.
const std::vector<Route>& Routes();

// What {job}, {service}, ... stand for, for the document.
std::string_view PathParamDoc(std::string_view name);
// The {names} in a path.
std::vector<std::string> PathParamsOf(std::string_view path);

// Values of every "env" object become "(hidden)", at any depth.
void HideEnv(wire::Json& json);

}  // namespace weir::gateway
