// The API over a real loopback server in front of a lab in memory.
#include "gateway/api/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <regex>
#include <set>

#include "gateway/api/assets.h"
#include "gateway/api/fake_lab.h"
#include "gateway/api/metrics.h"
#include "gateway/api/openapi.h"
#include "gateway/api/route.h"
#include "io/files.h"
#include "io/http_client.h"
#include "io/http_test_socket.h"

namespace weir::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using wire::Json;

// The part of JSON Schema that the document uses. "" when `value` fits, else where and why not.
std::string Violation(const Json& schema, const Json& value, const Json& components,
                      const std::string& at = "$") {
  if (schema.contains("$ref")) {
    const std::string ref = schema["$ref"];
    return Violation(components.at(ref.substr(ref.rfind('/') + 1)), value, components, at);
  }
  if (schema.contains("type")) {
    const std::string type = schema["type"];
    const bool fits =
        (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
        (type == "string" && value.is_string()) || (type == "boolean" && value.is_boolean()) ||
        (type == "integer" && value.is_number_integer()) || (type == "number" && value.is_number());
    if (!fits) return at + ": not of type " + type + ": " + value.dump();
  }
  if (schema.contains("enum")) {
    bool found = false;
    for (const Json& one : schema["enum"]) found = found || one == value;
    if (!found) return at + ": not in the enum: " + value.dump();
  }
  if (value.is_object()) {
    for (const Json& name : schema.value("required", Json::array())) {
      if (!value.contains(name.get<std::string>())) return at + ": lacks " + name.dump();
    }
    const Json properties = schema.value("properties", Json::object());
    for (const auto& [key, element] : value.items()) {
      std::string wrong;
      if (properties.contains(key)) {
        wrong = Violation(properties[key], element, components, at + "." + key);
      } else if (schema.contains("additionalProperties")) {
        const Json& more = schema["additionalProperties"];
        if (more == Json(false)) return at + ": has the unknown " + key;
        if (more.is_object()) wrong = Violation(more, element, components, at + "." + key);
      }
      if (!wrong.empty()) return wrong;
    }
  }
  if (value.is_array() && schema.contains("items")) {
    for (size_t i = 0; i < value.size(); ++i) {
      const std::string wrong =
          Violation(schema["items"], value[i], components, at + "[" + std::to_string(i) + "]");
      if (!wrong.empty()) return wrong;
    }
  }
  return "";
}

std::string Hdr(const io::HttpResult& r, std::string_view name) {
  return std::string(r.head.Find(name).value_or(""));
}

class ApiTest : public ::testing::Test {
 protected:
  void SetUp() override { Start({}); }
  void Start(ApiOptions options) {
    if (server_) {
      api_->Stop();
      server_->Stop(Duration::Seconds(1));
      server_.reset();
    }
    FurnishFakeLab(lab_, dir_->path());
    options.stream_interval = Duration::Millis(20);
    if (admin_.empty()) {
      admin_ = AddKey("admin", wire::Role::kAdmin);
      member_ = AddKey("alice", wire::Role::kMember, "nlp");
      client_ = AddKey("shop", wire::Role::kClient, "", "chat");
    }
    api_ = std::make_unique<Api>(options, lab_, keys_, clock_);
    io::HttpRouter router;
    api_->Register(router);
    io::HttpServerOptions server_options;
    server_options.max_body_bytes = 4 << 20;
    server_ = std::make_unique<io::HttpServer>(server_options, router.Handler());
    port_ = server_->Start().value();
  }
  void TearDown() override {
    api_->Stop();
    server_->Stop(Duration::Seconds(1));
  }

  std::string AddKey(const std::string& name, wire::Role role, const std::string& team = "",
                     const std::string& service = "") {
    wire::Key key{.name = name, .role = role, .team = team, .service = service};
    const guard::NewKey made = guard::MakeKey(key, clock_.Now()).value();
    (void)lab_.CreateKey(made.key, {"test"});
    return made.secret;
  }

  std::string Url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  io::HttpResult Ask(const std::string& method, const std::string& path, const std::string& key,
                     const std::string& body = "", io::HttpFields headers = {}) {
    if (!key.empty()) headers.push_back({"Authorization", "Bearer " + key});
    Result<io::HttpResult> got = io::Fetch({.method = method,
                                            .url = Url(path),
                                            .headers = headers,
                                            .body = body,
                                            .deadline = Duration::Seconds(20)});
    EXPECT_TRUE(got) << method << " " << path << ": " << got.error().ToString();
    return got ? *std::move(got) : io::HttpResult{};
  }
  io::HttpResult Get(const std::string& path) { return Ask("GET", path, admin_); }
  io::HttpResult Post(const std::string& path, const Json& body) {
    return Ask("POST", path, admin_, body.dump());
  }
  // A refusal: its status, and a problem document with a detail, a code and a hint.
  Json Refused(const io::HttpResult& r, int status) {
    EXPECT_EQ(r.status, status) << r.body;
    EXPECT_EQ(Hdr(r, "content-type"), "application/problem+json");
    const Json json = Json::parse(r.body, nullptr, false);
    EXPECT_TRUE(json.is_object()) << r.body;
    if (!json.is_object()) return Json::object();
    EXPECT_EQ(json.value("status", 0), status);
    EXPECT_FALSE(json.value("detail", "").empty());
    EXPECT_FALSE(json.value("code", "").empty());
    EXPECT_EQ(Violation(wire::SchemaOf<wire::Problem>(), json, {}), "");
    return json;
  }

  io::RealClock clock_;
  std::unique_ptr<io::TempDir> dir_ =
      std::make_unique<io::TempDir>(io::TempDir::Create("weir-api").value());
  FakeLab lab_;
  guard::KeyRing keys_;
  std::string admin_, member_, client_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<io::HttpServer> server_;
  uint16_t port_ = 0;
};

// Three offers, the last one accepted and signed: contract-4.
void SeedMarket(FakeLab& lab) {
  const auto done = lab.ChangeMarket(
      [](market::Book& book, market::Date today) -> Result<control::MarketNote> {
        for (const char* name : {"a", "b", "c"}) {
          market::Offer o;
          o.provider = "northern";
          o.name = name;
          o.received = today;
          o.expires = today + 30;
          o.terms.accelerator = "h100-sxm";
          o.terms.quantity = 512;
          o.terms.lot = 8;
          o.terms.price = {2'100'000};
          o.terms.term_months = 24;
          TRY(market::PutOffer(book, o, today));
        }
        TRY(market::Accept(book, "offer-3", 256, "local", today));
        TRY(market::Sign(book.contracts[0], today, today));
        return control::MarketNote{"seeded"};
      },
      {"test"});
  ASSERT_TRUE(done) << done.error().ToString();
}

// ---- the table, the document and the answers agree ----

struct Step {
  std::string method, path;
  Json body;
};

TEST_F(ApiTest, EveryRouteAnswersAsTheDocumentSays) {
  const io::HttpResult served = Get("/api/v1/openapi.json");
  ASSERT_EQ(served.status, 200);
  const Json document = Json::parse(served.body);
  EXPECT_EQ(document["openapi"], "3.1.0");
  const Json& components = document["components"]["schemas"];

  const std::map<std::string, std::string> names = {
      {"team", "nlp"},          {"job", "train"},      {"service", "chat"},
      {"loan", "loan-1"},       {"lease", "lease-1"},  {"slot", "local%2Fn1%2F3"},
      {"node", "n1"},           {"dataset", "docs"},   {"version", "tiny"},
      {"rollout", "rollout-1"}, {"pipeline", "story"}, {"key", "shop"},
      {"site", "north"},        {"offer", "offer-1"},  {"contract", "contract-4"}};
  SeedMarket(lab_);
  ASSERT_TRUE(lab_.PutPlan({.weir_plan = 1, .start = "2026-01", .months = 1}, {"test"}));
  // What ends a thing comes after what shows it.
  std::vector<const Route*> order;
  for (const Route& route : Routes()) order.push_back(&route);
  std::ranges::stable_sort(order, {}, [](const Route* r) {
    return r->method == "DELETE" ? 2 : r->method == "GET" ? 0 : 1;
  });
  std::set<std::string> seen;
  for (const Route* route : order) {
    SCOPED_TRACE(route->method + " " + route->path);
    EXPECT_TRUE(seen.insert(route->operation_id).second) << "operation id used twice";
    std::string method = route->method;
    std::ranges::transform(method, method.begin(), [](unsigned char c) { return std::tolower(c); });
    ASSERT_TRUE(document["paths"].contains(route->path));
    ASSERT_TRUE(document["paths"][route->path].contains(method));
    const Json& operation = document["paths"][route->path][method];
    if (route->content_type == "text/event-stream") continue;  // see the streams' own tests
    std::string path = route->path;
    Json body;
    for (const std::string& name : PathParamsOf(route->path)) {
      ASSERT_TRUE(names.contains(name)) << name;
      path.replace(path.find("{" + name + "}"), name.size() + 2, names.at(name));
      EXPECT_FALSE(PathParamDoc(name).empty()) << name;
    }
    // One offer cannot be both accepted and declined.
    if (route->operation_id == "declineOffer") path.replace(path.find("offer-1"), 7, "offer-2");
    if (!route->request_type.empty()) {
      const Json& content = operation["requestBody"]["content"]["application/json"];
      ASSERT_TRUE(content.contains("example"));
      body = content["example"];
      EXPECT_EQ(Violation(content["schema"], body, components), "");
    }
    const io::HttpResult got = Ask(route->method, path, admin_, body.is_null() ? "" : body.dump());
    EXPECT_EQ(got.status, route->status) << got.body;
    ASSERT_TRUE(operation["responses"].contains(std::to_string(got.status)));
    const Json& answer = operation["responses"][std::to_string(got.status)];
    if (route->status == 204) {
      EXPECT_EQ(got.body, "");
      continue;
    }
    ASSERT_EQ(answer["content"].size(), 1u);
    const std::string type = answer["content"].begin().key();
    EXPECT_EQ(Hdr(got, "content-type").substr(0, type.size()), type);
    const Json& content = answer["content"][type];
    if (content.contains("schema")) {
      EXPECT_EQ(Violation(content["schema"], Json::parse(got.body), components), "") << got.body;
    }
    EXPECT_EQ(Hdr(got, "cache-control"), "no-store");
    EXPECT_EQ(Hdr(got, "x-content-type-options"), "nosniff");
  }
  EXPECT_EQ(seen.size(), Routes().size());
}

TEST(ApiDocument, EveryReferenceIsThereAndEveryRouteIsDescribed) {
  const Json document = OpenApiDocument(Routes());
  const std::string text = document.dump();
  const std::regex ref("#/components/schemas/([A-Za-z]+)");
  for (std::sregex_iterator it(text.begin(), text.end(), ref), end; it != end; ++it)
    EXPECT_TRUE(document["components"]["schemas"].contains((*it)[1].str())) << (*it)[1];
  for (const Route& route : Routes()) {
    EXPECT_FALSE(route.summary.empty()) << route.path;
    for (const QueryParam& param : route.query) EXPECT_FALSE(param.doc.empty()) << param.name;
  }
}

TEST(ApiDocument, TheValidatorOfThisTestSeesWhatIsWrong) {
  const Json schema = wire::SchemaOf<wire::Team>();
  const Json good = wire::ToJson(wire::Team{.name = "a"});
  EXPECT_EQ(Violation(schema, good, {}), "");
  for (const auto& [path, value] : std::vector<std::pair<std::string, Json>>{
           {"/name", 3}, {"/class", "other"}, {"/weight", 1.5}, {"/unknown", 1}}) {
    Json bad = good;
    bad[Json::json_pointer(path)] = value;
    EXPECT_NE(Violation(schema, bad, {}), "") << path;
  }
  Json lacks = good;
  lacks.erase("name");
  EXPECT_NE(Violation(schema, lacks, {}), "");
}

// ---- who may ----

TEST_F(ApiTest, EveryRouteRefusesThoseWhoMayNot) {
  for (const Route& route : Routes()) {
    SCOPED_TRACE(route.method + " " + route.path);
    std::string path = route.path;
    for (const std::string& name : PathParamsOf(route.path))
      path.replace(path.find("{" + name + "}"), name.size() + 2, "nothing");
    // A bad key is refused everywhere, even where none is needed.
    EXPECT_EQ(Refused(Ask(route.method, path, "weir_wrong"), 401)["code"], "unauthenticated");
    if (!route.action) continue;
    const guard::Permission& permission = guard::PermissionOf(*route.action);
    const auto never = [&](guard::Who who) {
      return permission.grant[static_cast<int>(who)] == guard::Grant::kNever;
    };
    if (never(guard::Who::kVisitor)) {
      const io::HttpResult r = Ask(route.method, path, "");
      Refused(r, 401);
      EXPECT_EQ(Hdr(r, "www-authenticate"), "Bearer");
    }
    if (never(guard::Who::kClient)) Refused(Ask(route.method, path, client_), 403);
    if (never(guard::Who::kMember)) Refused(Ask(route.method, path, member_), 403);
  }
}

TEST_F(ApiTest, VisitorsSeeMetricsAloneAndOnlyWhenTheyNameThisMachine) {
  EXPECT_EQ(Ask("GET", "/metrics", "").status, 200);
  Refused(Ask("GET", "/api/v1/lab", ""), 401);
  EXPECT_EQ(Ask("GET", "/metrics", "", "", {{"Authorization", "Basic abc"}}).status, 401);
  // A page elsewhere whose name was made to point here.
  for (const auto& [host, status] :
       std::vector<std::pair<std::string, std::string>>{{"evil.example", "401"},
                                                        {"localhost.evil.example", "401"},
                                                        {"localhost", "200"},
                                                        {"127.0.0.1:7575", "200"},
                                                        {"[::1]:7575", "200"},
                                                        {"", "401"}}) {
    io::TestSocket socket = io::TestSocket::Connect(port_);
    socket.Send("GET /metrics HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(socket.ReadAll().substr(9, 3), status) << host;
  }
  Start({.visitors = false});
  Refused(Ask("GET", "/metrics", ""), 401);
  EXPECT_EQ(Ask("GET", "/api/v1/lab", admin_).status, 200);
  EXPECT_EQ(Ask("GET", "/healthz", "").status, 200);
}

TEST_F(ApiTest, AMemberActsOnWorkOfItsOwnTeamOnly) {
  const Json job = {{"name", "x"}, {"team", "nlp"}, {"command", {"true"}}};
  EXPECT_EQ(Ask("POST", "/api/v1/jobs", member_, job.dump()).status, 201);
  Json other = job;
  other["team"] = "product";
  const Json refusal = Refused(Ask("POST", "/api/v1/jobs", member_, other.dump()), 403);
  EXPECT_THAT(refusal["detail"], HasSubstr("alice (member of team nlp)"));
  other["team"] = "research";  // above its own
  Refused(Ask("POST", "/api/v1/jobs", member_, other.dump()), 403);
  Refused(Ask("POST", "/api/v1/services/chat/retire", member_), 403);
  EXPECT_EQ(Ask("POST", "/api/v1/jobs/train/cancel", member_).status, 200);
  // It lends to this loan, so it may have it back.
  EXPECT_EQ(Ask("POST", "/api/v1/loans/loan-1/recall", member_).status, 200);
  const std::string vision = AddKey("bob", wire::Role::kMember, "vision");
  keys_.Replace(lab_.Keys());
  Refused(Ask("POST", "/api/v1/loans/loan-1/recall", vision), 403);
  Refused(Ask("GET", "/api/v1/jobs/train/logs", vision), 403);
}

TEST_F(ApiTest, TheJournalSaysWhoDidIt) {
  const Json job = {{"name", "x"}, {"team", "nlp"}, {"command", {"true"}}};
  EXPECT_EQ(Json::parse(Ask("POST", "/api/v1/jobs", member_, job.dump()).body)["submitted_by"],
            "alice");
  const Json page = Json::parse(Get("/api/v1/journal?subject=x").body);
  ASSERT_EQ(page["records"].size(), 1u);
  EXPECT_EQ(page["records"][0]["actor"], "alice");
}

TEST_F(ApiTest, AKeysSecretIsShownOnceAndEndsWithItsRevocation) {
  const io::HttpResult made = Post(
      "/api/v1/keys", {{"name", "ci"}, {"role", "member"}, {"team", "nlp"}, {"expires_in_us", 0}});
  ASSERT_EQ(made.status, 201);
  const std::string secret = Json::parse(made.body)["secret"];
  EXPECT_EQ(Json::parse(Ask("GET", "/api/v1/whoami", secret).body)["name"], "ci");
  for (const char* path : {"/api/v1/keys", "/api/v1/journal?last=1000", "/api/v1/lab"}) {
    EXPECT_THAT(Get(path).body, Not(HasSubstr(secret))) << path;
    EXPECT_THAT(Get(path).body, Not(HasSubstr(lab_.Keys().back().hash))) << path;
  }
  EXPECT_EQ(Ask("DELETE", "/api/v1/keys/ci", admin_).status, 204);
  EXPECT_THAT(Refused(Ask("GET", "/api/v1/whoami", secret), 401)["detail"].get<std::string>(),
              HasSubstr("revoked"));
  Refused(Post("/api/v1/keys", {{"name", "admin"}, {"role", "admin"}}), 409);
  Refused(Post("/api/v1/keys", {{"name", "m"}, {"role", "member"}}), 400);
  Refused(Post("/api/v1/keys", {{"name", "m"}, {"role", "admin"}, {"expires_in_us", -1}}), 400);
}

TEST_F(ApiTest, AnExpiredKeyIsRefusedAndSaysWhen) {
  wire::Key key{.name = "old", .role = wire::Role::kAdmin};
  guard::NewKey made = guard::MakeKey(key, clock_.Now()).value();
  made.key.expires = clock_.Now() - Duration::Seconds(1);
  (void)lab_.CreateKey(made.key, {"test"});
  keys_.Replace(lab_.Keys());
  const Json refusal = Refused(Ask("GET", "/api/v1/lab", made.secret), 401);
  EXPECT_THAT(refusal["detail"].get<std::string>(), HasSubstr("expired at"));
  EXPECT_FALSE(refusal["hint"].get<std::string>().empty());
}

TEST_F(ApiTest, ValuesOfEnvironmentVariablesAreShownToTheirOwnersOnly) {
  // Everybody may see the job; nobody sees its token but its team and admins.
  EXPECT_THAT(Ask("GET", "/api/v1/jobs/train", "").body, Not(HasSubstr("hunter2")));
  EXPECT_THAT(Ask("GET", "/api/v1/jobs/train", member_).body, HasSubstr("hunter2"));
  EXPECT_THAT(Ask("GET", "/api/v1/services/chat", member_).body, Not(HasSubstr("hunter2")));
  EXPECT_THAT(Get("/api/v1/services/chat").body, HasSubstr("hunter2"));
  const Json job = {
      {"name", "x"}, {"team", "nlp"}, {"command", {"true"}}, {"env", {{"A", "hunter2"}}}};
  EXPECT_EQ(Post("/api/v1/jobs", job).status, 201);
  for (const char* path : {"/api/v1/lab", "/api/v1/jobs", "/api/v1/services",
                           "/api/v1/journal?last=100", "/api/v1/jobs/x/why"}) {
    EXPECT_THAT(Get(path).body, Not(HasSubstr("hunter2"))) << path;
  }
}

// ---- what is wrong is said ----

TEST_F(ApiTest, BadRequestsAreAnsweredWithWhatIsWrong) {
  struct Row {
    const char* name;
    const char* method;
    const char* path;
    std::string body;
    int status;
    const char* says;  // in detail or hint
  };
  const std::string deep = std::string(200, '[') + std::string(200, ']');
  const Row rows[] = {
      {"unknown field", "POST", "/api/v1/jobs",
       R"({"name":"x","team":"nlp","command":["a"],"slot":1})", 400, "slot: not a known field"},
      {"missing field", "POST", "/api/v1/jobs", R"({"name":"x","command":["a"]})", 400,
       "team: missing"},
      {"wrong type", "POST", "/api/v1/jobs", R"({"name":"x","team":"nlp","command":"a b"})", 400,
       "command: expected an array, got a string"},
      {"not an object", "POST", "/api/v1/jobs", "[]", 400, "expected an object"},
      {"not JSON", "POST", "/api/v1/jobs", "{name: x}", 400, "not valid JSON at byte"},
      {"no body", "POST", "/api/v1/jobs", "", 400, "body is missing"},
      {"too deep", "POST", "/api/v1/jobs", deep, 400, "nested deeper"},
      {"invalid UTF-8", "POST", "/api/v1/jobs", "{\"name\":\"\xff\"}", 400, "UTF-8"},
      {"out of range", "POST", "/api/v1/jobs",
       R"({"name":"x","team":"nlp","command":["a"],"max_slots":99999999999999999999})", 400,
       "max_slots"},
      {"unknown team", "POST", "/api/v1/jobs", R"({"name":"x","team":"no","command":["a"]})", 404,
       "team no"},
      {"too large", "POST", "/api/v1/jobs", std::string((1 << 20) + 1, ' '), 413, "1048577 bytes"},
      {"a body where none belongs", "POST", "/api/v1/jobs/train/cancel", "{}", 400, "no body"},
      {"name taken", "POST", "/api/v1/services", R"({"name":"chat","team":"product"})", 409,
       "taken"},
      {"unknown enum", "PUT", "/api/v1/teams/a", R"({"name":"a","class":"other"})", 400,
       "research, product"},
      {"two names", "PUT", "/api/v1/teams/a", R"({"name":"b","class":"product"})", 400, "differs"},
      {"patch of an unknown field", "PATCH", "/api/v1/services/chat", R"({"tiers":2})", 400,
       "tiers: not a known field"},
      {"patch of the name", "PATCH", "/api/v1/services/chat", R"({"name":"b"})", 400,
       "cannot be changed"},
      {"patch to nonsense", "PATCH", "/api/v1/services/chat", R"({"min_replicas":9})", 400,
       "min_replicas"},
      {"patch with null", "PATCH", "/api/v1/services/chat", R"({"team":null})", 400,
       "cannot be changed"},
      {"unknown job", "GET", "/api/v1/jobs/trian", "", 404, "did you mean train?"},
      {"ambiguous job", "GET", "/api/v1/jobs/twice", "", 400, "job-2, job-3"},
      {"unknown slot", "POST", "/api/v1/slots/local%2Fn1%2F9/cordon", "", 404, "not known"},
      {"unknown node", "POST", "/api/v1/nodes/n9/cordon", "", 404, "node n9"},
      {"unknown key", "DELETE", "/api/v1/keys/nobody", "", 404, "nobody"},
      {"unknown parameter", "GET", "/api/v1/jobs?pahse=done", "", 400, "did you mean phase?"},
      {"parameter that is none", "GET", "/api/v1/lab?x=1", "", 400, "takes none"},
      {"wrong parameter", "GET", "/api/v1/jobs?phase=over", "", 400, "queued, running"},
      {"repeated parameter", "GET", "/api/v1/jobs?team=a&team=b", "", 400, "given twice"},
      {"broken escape", "GET", "/api/v1/jobs?team=%zz", "", 400, "%25"},
      {"not a number", "GET", "/api/v1/journal?last=many", "", 400, "an integer"},
      {"number out of range", "GET", "/api/v1/journal?last=0", "", 400, "1..1000"},
      {"both ends", "GET", "/api/v1/journal?last=2&from=3", "", 400, "exclude"},
      {"rank that is not there", "GET", "/api/v1/jobs/train/logs?rank=2", "", 400, "0..1"},
      {"unknown route", "GET", "/api/v1/job", "", 404, "/api/v1/jobs"},
      {"unknown route below", "GET", "/api/v1/jobs/train/log", "", 404, "/api/v1/jobs/{job}/logs"},
      {"model without a folder", "POST", "/api/v1/models", R"({"model":"m"})", 400, "path"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const Json problem = Refused(Ask(row.method, row.path, admin_, row.body), row.status);
    EXPECT_THAT(problem.value("detail", "") + " " + problem.value("hint", ""), HasSubstr(row.says));
  }
}

TEST_F(ApiTest, AWrongMethodIsToldTheRightOnes) {
  const io::HttpResult r = Ask("DELETE", "/api/v1/jobs", admin_);
  EXPECT_EQ(r.status, 405);
  EXPECT_THAT(Hdr(r, "allow"), HasSubstr("POST"));
  EXPECT_THAT(Hdr(r, "allow"), HasSubstr("GET"));
}

TEST_F(ApiTest, AStoreThatCannotWriteIsSaidAndNothingIsHalfDone) {
  lab_.Break(Error(Code::kUnavailable, "the disk is full").Hint("free space").RetryAfter(3));
  const io::HttpResult r =
      Post("/api/v1/jobs", {{"name", "x"}, {"team", "nlp"}, {"command", {"true"}}});
  EXPECT_EQ(Refused(r, 503)["hint"], "free space");
  EXPECT_EQ(Hdr(r, "retry-after"), "3");
  EXPECT_EQ(Get("/api/v1/jobs/x").status, 404);
}

TEST_F(ApiTest, ReadinessFollowsTheLab) {
  EXPECT_EQ(Ask("GET", "/readyz", "").status, 200);
  lab_.Change([](wire::LabView& v) { v.trouble = "the disk is full"; });
  EXPECT_EQ(Refused(Ask("GET", "/readyz", ""), 503)["detail"], "the disk is full");
  EXPECT_EQ(Ask("GET", "/healthz", "").status, 200);
  lab_.Change([](wire::LabView& v) {
    v.trouble = "";
    v.draining = true;
  });
  EXPECT_EQ(Ask("GET", "/readyz", "").status, 503);
}

// ---- work ----

TEST_F(ApiTest, APatchChangesTheGivenFieldsAndNoOther) {
  const Json before = Json::parse(Get("/api/v1/services/chat").body)["service"]["spec"];
  const io::HttpResult r = Ask("PATCH", "/api/v1/services/chat", admin_,
                               R"({"max_replicas":7,"slo":{"ttft_ms":50},"env":{"B":"c"}})");
  ASSERT_EQ(r.status, 200) << r.body;
  Json expected = before;
  expected["max_replicas"] = 7;
  expected["slo"]["ttft_ms"] = 50.0;
  expected["env"]["B"] = "c";
  EXPECT_EQ(Json::parse(r.body)["spec"], expected);
}

TEST_F(ApiTest, AnUnknownAcceleratorIsRefusedWithTheNearestNames) {
  Json offer = {{"provider", "northern"},
                {"name", "q"},
                {"received", "2025-12-01"},
                {"expires", "2026-02-01"},
                {"terms",
                 {{"accelerator", "h10-sxm"},
                  {"quantity", 8},
                  {"price_micro", 2'100'000},
                  {"term_months", 12}}}};
  const Json problem = Refused(Post("/api/v1/offers", offer), 404);
  EXPECT_THAT(problem["detail"].get<std::string>(), testing::HasSubstr("h10-sxm"));
  EXPECT_THAT(problem["hint"].get<std::string>(), testing::HasSubstr("h100-sxm"));
  // Another of its names is taken, and kept as the first one.
  offer["terms"]["accelerator"] = "H100-80GB";
  const io::HttpResult added = Post("/api/v1/offers", offer);
  ASSERT_EQ(added.status, 201) << added.body;
  EXPECT_EQ(Json::parse(added.body)["offer"]["terms"]["accelerator"], "h100-sxm");
}

TEST_F(ApiTest, ABookIsChangedInOnePieceAndNeverOverSomebodyElse) {
  SeedMarket(lab_);
  const Json book = Json::parse(Get("/api/v1/book").body);
  const std::string version = book["version"];
  Json contract = book["book"]["contracts"][0];
  contract["site"] = "north";
  Json fresh = book["book"]["offers"][0];
  fresh["id"] = "offer-5";
  fresh["name"] = "new";
  const auto put = [&](const Json& body) {
    return Ask("PUT", "/api/v1/book", admin_, body.dump());
  };
  const struct {
    const char* name;
    Json change;
    int status;
  } bad[] = {
      {"the number is not the next", {{"offers", {fresh}}}, 400},
      {"another version", {{"version", "0"}}, 412},
      {"a budget that ends before it begins",
       {{"budgets",
         Json::array(
             {{{"team", "nlp"}, {"first_month", 9}, {"last_month", 8}, {"amount_micro", 1}}})}},
       400},
      {"a rate of nothing",
       {{"rates", Json::array({{{"currency", "EUR"}, {"worth_micro", 0}}})}},
       400},
      {"a field that is none", {{"prices", 1}}, 400},
  };
  for (const auto& c : bad) {
    SCOPED_TRACE(c.name);
    Json change = {{"version", version}};
    change.update(c.change);
    if (c.change.contains("offers")) change["offers"][0]["id"] = "offer-6";
    Refused(put(change), c.status);
    EXPECT_EQ(Json::parse(Get("/api/v1/book").body), book);
  }
  const io::HttpResult done = put(
      {{"version", version}, {"contracts", {contract}}, {"offers", {fresh}}, {"what", "moved"}});
  ASSERT_EQ(done.status, 200) << done.body;
  const Json after = Json::parse(done.body);
  EXPECT_EQ(after["book"]["contracts"][0]["site"], "north");
  EXPECT_EQ(after["book"]["offers"].size(), 4u);
  EXPECT_EQ(after["book"]["last_number"], 5);
  Refused(put({{"version", version}, {"contracts", {contract}}}), 412);
}

TEST_F(ApiTest, TheMarketOnOnePageComparesWhatIsOpenAndShowsWhatIsSigned) {
  SeedMarket(lab_);
  const Json m = Json::parse(Get("/api/v1/market").body);
  ASSERT_EQ(m["contracts"].size(), 1u);
  EXPECT_EQ(m["contracts"][0]["view"]["contract"]["id"], "contract-4");
  EXPECT_EQ(m["contracts"][0]["spans"][0]["phase"], "signed");
  EXPECT_EQ(m["contracts"][0]["held"].back()["quantity"], 0);
  ASSERT_EQ(m["offers"].size(), 2u);
  // 14 days late, the work waits; 1.6% of the time goes to failures or so.
  const double rate = m["offers"][0]["rate"];
  EXPECT_GT(rate, 2.1);
  EXPECT_LT(rate, 2.4);
  EXPECT_FALSE(m["owed"].empty());
  EXPECT_EQ(m["providers"][0]["open_offers"], 2);
}

TEST_F(ApiTest, SpendIsTheJournalsLeasesAtTheContractsPrice) {
  SeedMarket(lab_);
  (void)lab_.ChangeMarket(
      [](market::Book& book, market::Date today) -> Result<control::MarketNote> {
        TRY(market::Deliver(book.contracts[0], 256, today, today));
        return control::MarketNote{"delivered"};
      },
      {"test"});
  const Time day = lab_.View()->now;
  control::LabPast past;
  market::Use use{.lease = "lease-1", .team = "nlp", .holder = "job-1", .accelerator = "h100"};
  use.site = "local";
  use.from = day;
  use.to = day + Duration::Seconds(3600);
  use.slots = 8;
  past.uses.push_back(use);
  use.lease = "lease-2";
  use.team = "chat";
  use.loan = "loan-1";
  past.uses.push_back(use);
  past.shares.push_back({"loan-1", {{"nlp", 6}, {"", 2}}});
  past.classes["nlp"] = wire::TeamClass::kResearch;
  past.days.push_back({market::Date::Of(day), {{"nlp", {8, 3}}}});
  lab_.SetPast(past);
  const Json l = Json::parse(Get("/api/v1/spend").body)["ledger"];
  ASSERT_EQ(l["entries"].size(), 2u) << l.dump();
  EXPECT_EQ(l["entries"][1]["team"], "nlp");
  EXPECT_EQ(l["entries"][1]["cost_micro"], 16'800'000);  // 8 x 1 h x $2.10
  ASSERT_EQ(l["loans"].size(), 2u);
  EXPECT_EQ(l["loans"][0]["cost_micro"].get<int64_t>() + l["loans"][1]["cost_micro"].get<int64_t>(),
            16'800'000);
  const Json month = l["months"][0];
  EXPECT_EQ(month["used_micro"].get<int64_t>() + month["idle_micro"].get<int64_t>(),
            month["owed_micro"].get<int64_t>());
  const Json demand = Json::parse(Get("/api/v1/demand?of=nlp").body)["items"];
  ASSERT_EQ(demand.size(), 1u);
  EXPECT_EQ(demand[0]["served"], 8);
  EXPECT_EQ(demand[0]["waiting"], 3);
  EXPECT_EQ(Json::parse(Get("/api/v1/demand").body)["items"], demand);
  EXPECT_THAT(Refused(Get("/api/v1/demand?of=reserch"), 404)["hint"].get<std::string>(),
              testing::HasSubstr("research"));
  for (const char* bad :
       {"from=2026-13", "from=soon", "from=2027-01&to=2026-01", "to=2026-01-05", "month=2026-01"})
    Refused(Get(std::string("/api/v1/spend?") + bad), 400);
}

TEST_F(ApiTest, APlanIsHeldAndWhatIsNoneIsRefused) {
  Refused(Get("/api/v1/plan"), 404);
  for (const char* bad :
       {R"({"weir_plan":1,"start":"2026-01","months":"24","offers":[]})",
        R"({"start":"2026-01","months":24,"offers":[]})",
        R"({"weir_plan":1,"start":"2026-01","months":24,"offers":[{"decision":"sign"}]})",
        R"({"weir_plan":1,"start":"2026-01","months":24,"offers":[],"cost":1})", "[]"})
    Refused(Ask("PUT", "/api/v1/plan", admin_, bad), 400);
  const Json plan = {
      {"weir_plan", 1}, {"start", "2026-01"}, {"months", 24}, {"offers", Json::array()}};
  EXPECT_EQ(Ask("PUT", "/api/v1/plan", admin_, plan.dump()).status, 200);
  const Json held = Json::parse(Get("/api/v1/plan").body);
  EXPECT_EQ(held["plan"]["months"], 24);
  EXPECT_EQ(held["put_by"], "admin");
}

TEST_F(ApiTest, ANodeIsCordonedWholeAndBack) {
  EXPECT_EQ(Post("/api/v1/nodes/local%2Fn1/cordon", {{"why", "fan"}}).status, 200);
  const Json slots = Json::parse(Get("/api/v1/slots").body);
  for (const Json& slot : slots["items"]) {
    EXPECT_EQ(slot["health"], "cordoned");
    EXPECT_EQ(slot["why"], "fan");
  }
  EXPECT_EQ(Ask("POST", "/api/v1/slots/local%2Fn1%2F0/uncordon", admin_).status, 200);
  EXPECT_EQ(Json::parse(Get("/api/v1/slots/local%2Fn1%2F0").body)["health"], "up");
}

TEST_F(ApiTest, TheJournalIsReadForwardsBackwardsAndBySubject) {
  for (int i = 0; i < 250; ++i) {
    const std::string name = i % 50 == 0 ? "rare" : "team" + std::to_string(i);
    (void)lab_.PutTeam({.name = name}, {"test"});
  }
  const int64_t newest = lab_.View()->journal_seq;
  const auto seqs = [&](const std::string& query) {
    std::vector<int64_t> out;
    const Json page = Json::parse(Get("/api/v1/journal" + query).body);
    for (const Json& r : page["records"]) out.push_back(r["seq"]);
    return out;
  };
  EXPECT_EQ(seqs("").size(), 100u);
  EXPECT_EQ(seqs("").back(), newest);
  EXPECT_EQ(seqs("?last=3"), (std::vector<int64_t>{newest - 2, newest - 1, newest}));
  EXPECT_EQ(seqs("?from=2&limit=2"), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(seqs("?subject=rare").size(), 5u);
  EXPECT_EQ(seqs("?subject=rare&last=2").size(), 2u);
  EXPECT_EQ(seqs("?subject=rare&from=1&limit=3").size(), 3u);
  EXPECT_EQ(seqs("?from=" + std::to_string(newest + 1)).size(), 0u);
  // Pages join without gap or overlap.
  std::vector<int64_t> all;
  for (int64_t from = 1; from <= newest;) {
    const Json page =
        Json::parse(Get("/api/v1/journal?subject=rare&limit=2&from=" + std::to_string(from)).body);
    for (const Json& r : page["records"]) all.push_back(r["seq"]);
    ASSERT_GT(page["next"].get<int64_t>(), from);
    from = page["next"];
  }
  EXPECT_EQ(all, seqs("?subject=rare"));
}

// ---- streams ----

// Reads a stream until `done` says so, or it ends; what came.
std::string ReadUntil(const std::string& url, const std::string& key,
                      const std::function<bool(const std::string&)>& done) {
  std::string all;
  io::HttpFields headers;
  if (!key.empty()) headers.push_back({"Authorization", "Bearer " + key});
  (void)io::Fetch({.url = url,
                   .headers = headers,
                   .deadline = Duration::Seconds(20),
                   .on_body = [&](std::string_view bytes) {
                     all += bytes;
                     return !done(all);
                   }});
  return all;
}

TEST_F(ApiTest, EventsBringTheLabAndThenEachChange) {
  int events = 0;
  const std::string all = ReadUntil(Url("/api/v1/events"), admin_, [&](const std::string& got) {
    const int now = static_cast<int>(std::count(got.begin(), got.end(), '\n')) / 4;
    if (now > events) {
      events = now;
      lab_.Change([&](wire::LabView& v) { v.trouble = "change " + std::to_string(events); });
    }
    return events >= 3;
  });
  EXPECT_THAT(all, HasSubstr("event: lab\n"));
  EXPECT_THAT(all, HasSubstr("change 2"));
  EXPECT_THAT(all, Not(HasSubstr("hunter2")));
  const size_t data = all.find("data: ") + 6;
  const Json first = Json::parse(all.substr(data, all.find('\n', data) - data));
  EXPECT_EQ(Violation(wire::SchemaOf<wire::LabView>(), first, {}), "");
}

TEST_F(ApiTest, AFollowedJournalBringsWhatComesAboutItsSubject) {
  (void)lab_.PutTeam({.name = "wanted"}, {"before"});
  int step = 0;
  const std::string all = ReadUntil(Url("/api/v1/journal?follow&last=1&subject=wanted"), admin_,
                                    [&](const std::string& got) {
                                      if (step++ == 0) {
                                        (void)lab_.PutTeam({.name = "other"}, {"test"});
                                        (void)lab_.PutTeam({.name = "wanted"}, {"after"});
                                      }
                                      return got.find("by after") != got.npos;
                                    });
  EXPECT_THAT(all, HasSubstr("event: record\n"));
  EXPECT_THAT(all, HasSubstr("team.put by before"));
  EXPECT_THAT(all, HasSubstr("team.put by after"));
  EXPECT_THAT(all, Not(HasSubstr("other")));
}

TEST_F(ApiTest, QuietStreamsBeat) {
  Start({.heartbeat = Duration::Millis(30)});
  const std::string all = ReadUntil(Url("/api/v1/journal?follow=true"), admin_,
                                    [](const std::string& got) { return !got.empty(); });
  EXPECT_EQ(all.substr(0, 1), ":");
}

TEST_F(ApiTest, StoppingEndsStreamsCleanly) {
  bool stopped = false;
  const std::string all = ReadUntil(Url("/api/v1/events"), admin_, [&](const std::string&) {
    if (!stopped) {
      stopped = true;
      api_->Stop();
    }
    return false;
  });
  EXPECT_TRUE(stopped);
  EXPECT_THAT(all, HasSubstr("event: lab"));
  Refused(Get("/api/v1/jobs"), 503);
}

TEST_F(ApiTest, LogsAreReadFromAnyPlaceAndFollowedToTheJobsEnd) {
  const std::string path = *dir_ / "log";
  EXPECT_EQ(Get("/api/v1/jobs/train/logs").body, "");
  std::ofstream(path) << "one\ntwo\nthree\n";
  const io::HttpResult all = Get("/api/v1/jobs/train/logs");
  EXPECT_EQ(all.body, "one\ntwo\nthree\n");
  EXPECT_EQ(Hdr(all, "weir-next-offset"), "14");
  EXPECT_EQ(Hdr(all, "content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(Get("/api/v1/jobs/train/logs?offset=4").body, "two\nthree\n");
  EXPECT_EQ(Get("/api/v1/jobs/train/logs?tail=1").body, "three\n");
  EXPECT_EQ(Ask("GET", "/api/v1/jobs/train/logs", member_).status, 200);
  int step = 0;
  const std::string followed =
      ReadUntil(Url("/api/v1/jobs/train/logs?follow&tail=1"), admin_, [&](const std::string& got) {
        if (step == 0) {
          step = 1;
          std::rename(path.c_str(), (path + "~1").c_str());
          std::ofstream(path) << "four\n";
        } else if (step == 1 && got.find("four") != got.npos) {
          step = 2;
          std::ofstream(path, std::ios::app) << "five\n";
          lab_.Change([](wire::LabView& v) { v.jobs[0].phase = wire::JobPhase::kDone; });
        }
        return false;  // the server ends it
      });
  EXPECT_EQ(followed, "three\nfour\nfive\n");
}

// ---- metrics and files ----

TEST_F(ApiTest, MetricsAreInThePrometheusFormatAndDocumented) {
  api_->AddMetrics([](MetricsText& text) {
    const double bounds[] = {0.5, 1};
    const uint64_t counts[] = {1, 0, 2};
    text.Histogram("weir_example_seconds", "An example", bounds, counts, 7.5, {{"a", "b\"c\\d\n"}});
  });
  const io::HttpResult r = Ask("GET", "/metrics", "");
  ASSERT_EQ(r.status, 200);
  EXPECT_THAT(r.body, HasSubstr("weir_slots{site=\"local\",state=\"on_loan\"} 1\n"));
  EXPECT_THAT(r.body, HasSubstr("weir_jobs{phase=\"failed\"} 2\n"));
  EXPECT_THAT(r.body, HasSubstr("weir_service_ttft_seconds{service=\"chat\"} 0.18\n"));
  EXPECT_THAT(r.body, HasSubstr("weir_loan_slots 1\n"));
  EXPECT_THAT(r.body,
              HasSubstr("weir_example_seconds_bucket{a=\"b\\\"c\\\\d\\n\",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(r.body, HasSubstr("weir_example_seconds_count{a=\"b\\\"c\\\\d\\n\"} 3\n"));
  // Every line is a comment or a sample; HELP and TYPE come once, before the samples.
  const std::regex sample(
      R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-z_]+="([^"\\]|\\.)*",?)*\})? (NaN|[-+]?Inf|[-+0-9.e]+))re");
  const char* source = std::getenv("WEIR_SOURCE");
  std::string doc;
  if (source) doc = io::ReadFile(std::string(source) + "/docs/metrics.md", 1 << 20).value_or("");
  std::set<std::string> types;
  std::istringstream lines(r.body);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ")) continue;
    if (line.starts_with("# TYPE ")) {
      const std::string name = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(types.insert(name).second) << line;
      if (source && name != "weir_example_seconds") {
        EXPECT_THAT(doc, HasSubstr("`" + name + "`")) << "not in docs/metrics.md";
      }
      continue;
    }
    EXPECT_TRUE(std::regex_match(line, sample)) << line;
  }
}

TEST_F(ApiTest, TheRootIsAPageThatTalksToThisServerOnly) {
  const io::HttpResult r = Ask("GET", "/", "");
  EXPECT_EQ(r.status, 200);
  EXPECT_THAT(Hdr(r, "content-type"), HasSubstr("text/html"));
  EXPECT_THAT(Hdr(r, "content-security-policy"), HasSubstr("default-src 'self'"));
  EXPECT_THAT(Hdr(r, "content-security-policy"), Not(HasSubstr("unsafe")));
  EXPECT_THAT(Hdr(r, "content-security-policy"), HasSubstr("frame-ancestors 'none'"));
  Refused(Ask("GET", "/nothing.js", ""), 404);
}

TEST(Assets, FilesPagesAndWhatTheClientHasAlready) {
  const Asset assets[] = {{"/assets/app-1a2b.js", "js", "\"a\""},
                          {"/index.html", "<html>", "\"i\""}};
  const auto ask = [&](const std::string& target, const std::string& accept = "",
                       const std::string& etag = "") {
    io::HttpRequest request;
    request.method = "GET";
    request.target = target;
    if (!accept.empty()) request.head.Add("Accept", accept);
    if (!etag.empty()) request.head.Add("If-None-Match", etag);
    return AnswerAsset(request, assets);
  };
  const auto header = [](const io::HttpResponse& r, const std::string& name) {
    for (const io::HttpField& f : r.headers) {
      if (f.name == name) return f.value;
    }
    return std::string();
  };
  EXPECT_EQ(ask("/").body, "<html>");
  EXPECT_EQ(header(ask("/"), "Cache-Control"), "no-cache");
  EXPECT_EQ(ask("/jobs/job-1", "text/html,*/*").body, "<html>");
  EXPECT_EQ(ask("/jobs/job-1", "application/json").status, 404);
  EXPECT_EQ(ask("/assets/app-1a2b.js").body, "js");
  EXPECT_THAT(header(ask("/assets/app-1a2b.js"), "Cache-Control"), HasSubstr("immutable"));
  EXPECT_THAT(header(ask("/assets/app-1a2b.js"), "Content-Type"), HasSubstr("text/javascript"));
  EXPECT_EQ(ask("/", "", "\"i\"").status, 304);
  EXPECT_EQ(ask("/", "", "\"i\"").body, "");
  EXPECT_EQ(ask("/other.js", "text/html").status, 404);
  EXPECT_EQ(ask("/../index.html").status, 404);
}

}  // namespace
}  // namespace weir::gateway
