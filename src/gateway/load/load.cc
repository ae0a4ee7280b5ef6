#include "gateway/load/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gateway/edge/stream_meter.h"
#include "io/http_client.h"

namespace weir::gateway {

namespace {

constexpr Duration kProgressEvery = Duration::Millis(500);

// A prompt of about `tokens` tokens, different for every request so that no cache of prefixes
// helps.
std::string Prompt(int tokens, Random& random) {
  static constexpr std::string_view kWords[] = {"the",  "river", "stone", "and",  "a",    "light",
                                                "over", "of",    "water", "with", "into", "old"};
  std::string out;
  for (int i = 0; i < tokens; ++i) {
    if (i > 0) out += ' ';
    out += kWords[random.Below(std::size(kWords))];
  }
  return out;
}

class Run;

class OneRequest final : public io::HttpSink {
 public:
  OneRequest(Run& run, Duration intended) : run_(run), intended_(intended) {}
  void OnHead(int status, const io::HttpHead& head, int64_t) override {
    status_ = status;
    const auto type = head.Find("Content-Type");
    streamed_ = type && type->starts_with("text/event-stream");
    meter_ = StreamMeter(streamed_);
  }
  void OnBody(std::string_view bytes) override;
  void OnEnd() override;
  void OnFailure(io::HttpFailure failure) override;

 private:
  void Over(std::string error);
  Run& run_;
  const Duration intended_;
  int status_ = 0;
  bool streamed_ = false;
  bool error_event_ = false;
  StreamMeter meter_{false};
};

class Run {
 public:
  explicit Run(const LoadOptions& options, io::HttpUrl url)
      : o_(options),
        url_(std::move(url)),
        report_(options.slo),
        random_(options.seed),
        client_(loop_, {.max_idle_per_upstream = 4096}),
        arrivals_(loop_),
        progress_(loop_) {}

  LoadReport Go() {
    loop_.Post([this] {
      began_ = loop_.Now();
      SendDue();
      Progress();
    });
    loop_.Run();
    report_.Finish(Elapsed());
    return std::move(report_);
  }

  Duration Now() const { return loop_.Now(); }
  void Done(const LoadSample& sample) {
    report_.Add(sample);
    --in_flight_;
    StopIfOver();
  }

 private:
  Duration Elapsed() const { return loop_.Now() - began_; }
  void StopIfOver() {
    if (in_flight_ == 0 && (next_ == o_.plan.size() || cancelled_)) loop_.Stop();
  }

  // Everything whose time has come, in one go; then sleeps until the next.
  void SendDue() {
    while (next_ < o_.plan.size() && !cancelled_) {
      const PlannedRequest& p = o_.plan[next_];
      const Duration wait = began_ + p.at - loop_.Now();
      if (wait.us > 0) {
        arrivals_.Start(wait, [this] { SendDue(); });
        break;
      }
      ++next_;
      Send(p);
    }
    StopIfOver();
  }

  void Send(const PlannedRequest& p) {
    const Duration intended = began_ + p.at;
    report_.Sent(loop_.Now() - intended);
    if (in_flight_ >= o_.max_outstanding) {
      report_.Add({.error = "not_sent"});
      return;
    }
    const int prompt_tokens = std::clamp(p.prompt_tokens > 0 ? p.prompt_tokens : o_.prompt_tokens,
                                         1, std::max(1, o_.max_prompt_tokens));
    const int max_tokens = std::clamp(p.max_tokens > 0 ? p.max_tokens : o_.max_tokens, 1,
                                      std::max(1, o_.max_tokens_bound));
    const std::string prompt = Prompt(prompt_tokens, random_);
    nlohmann::ordered_json body;
    body["model"] = o_.model;
    if (o_.chat) {
      body["messages"] = {{{"role", "user"}, {"content", prompt}}};
    } else {
      body["prompt"] = prompt;
    }
    body["max_tokens"] = max_tokens;
    body["ignore_eos"] = true;
    body["seed"] = random_.Below(1u << 31);
    if (o_.stream) {
      body["stream"] = true;
      body["stream_options"] = {{"include_usage", true}};
    }
    io::HttpCallOptions call;
    call.method = "POST";
    call.host = url_.host;
    call.port = url_.port;
    call.target = o_.chat ? "/v1/chat/completions" : "/v1/completions";
    call.headers = {{"Content-Type", "application/json"}};
    if (!o_.key.empty()) call.headers.push_back({"Authorization", "Bearer " + o_.key});
    call.body = body.dump();
    call.deadline = std::max(Duration::Millis(1), o_.timeout - (loop_.Now() - intended));
    ++in_flight_;
    client_.Start(std::move(call), std::make_shared<OneRequest>(*this, intended));
  }

  void Progress() {
    if (o_.cancelled && o_.cancelled()) {
      cancelled_ = true;
      arrivals_.Cancel();
      StopIfOver();
    }
    if (o_.progress) o_.progress({Elapsed(), in_flight_, &report_});
    progress_.Start(kProgressEvery, [this] { Progress(); });
  }

  const LoadOptions& o_;
  const io::HttpUrl url_;
  LoadReport report_;
  Random random_;
  io::EventLoop loop_;
  io::HttpClient client_;
  io::Timer arrivals_, progress_;
  Duration began_ = {};
  size_t next_ = 0;
  size_t in_flight_ = 0;
  bool cancelled_ = false;
};

void OneRequest::OnBody(std::string_view bytes) {
  if (streamed_ && bytes.find("data: {\"error\"") != std::string_view::npos) error_event_ = true;
  meter_.Feed(bytes, run_.Now());
}

void OneRequest::OnEnd() {
  if (status_ >= 400) return Over(fmt::format("http_{}", status_));
  if (error_event_) return Over("error_event");
  if (streamed_ && !meter_.saw_done()) return Over("stream_without_done");
  Over("");
}

void OneRequest::OnFailure(io::HttpFailure failure) {
  if (failure.error.code() == Code::kDeadlineExceeded) return Over("timeout");
  switch (failure.progress) {
    case io::HttpProgress::kNotConnected:
      return Over("connect");
    case io::HttpProgress::kNoResponse:
      return Over("closed_before_answer");
    case io::HttpProgress::kResponse:
      return Over("broken");
  }
}

void OneRequest::Over(std::string error) {
  LoadSample s;
  s.ok = error.empty();
  s.error = std::move(error);
  s.streamed = streamed_;
  s.latency = run_.Now() - intended_;
  s.tokens = meter_.Tokens();
  if (streamed_ && meter_.any()) {
    s.ttft = meter_.first_at() - intended_;
    if (s.tokens > 1) {
      s.tpot = (meter_.last_at() - meter_.first_at()) / static_cast<int64_t>(s.tokens - 1);
    }
  }
  run_.Done(s);
}

// What would make every request fail is said once, before the first.
Status CheckTarget(const LoadOptions& o) {
  io::HttpFields headers;
  if (!o.key.empty()) headers.push_back({"Authorization", "Bearer " + o.key});
  const io::HttpResult models = TRY(io::Fetch({.url = o.url + "/v1/models", .headers = headers}));
  if (models.status == 401 || models.status == 403) {
    return Error(Code::kUnauthenticated, fmt::format("{} refuses the key", o.url))
        .Hint("give one in the environment variable WEIR_API_KEY; `weir key list` shows them");
  }
  const auto json = nlohmann::json::parse(models.body, nullptr, false);
  const auto data = json.is_object() ? json.find("data") : json.end();
  if (models.status != 200 || !json.is_object() || data == json.end() || !data->is_array()) {
    return {};  // a server without a list: the requests will tell
  }
  std::string known;
  for (const auto& m : *data) {
    const std::string id = m.is_object() ? m.value("id", "") : "";
    if (id == o.model) return {};
    known += (known.empty() ? "" : ", ") + id;
  }
  // An alias is not listed but is known by name.
  const io::HttpResult one =
      TRY(io::Fetch({.url = o.url + "/v1/models/" + o.model, .headers = headers}));
  if (one.status == 200) return {};
  return Error(Code::kNotFound, fmt::format("{} serves no model \"{}\"", o.url, o.model))
      .Hint(known.empty() ? "it serves none yet" : "it serves " + known);
}

}  // namespace

Result<LoadReport> RunLoad(const LoadOptions& options) {
  LoadOptions o = options;
  while (o.url.ends_with('/')) o.url.pop_back();
  if (o.url.ends_with("/v1")) o.url.resize(o.url.size() - 3);  // as OpenAI clients write it
  io::HttpUrl url = TRY(io::ParseHttpUrl(o.url));
  TRY(io::ParseHttpUrl(o.url + "/v1/models"));
  const Status reachable = CheckTarget(o);
  if (!reachable) return reachable.error();
  io::RaiseOpenFileLimit();
  return Run(o, std::move(url)).Go();
}

}  // namespace weir::gateway
