#include "gateway/api/engine_stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "io/clock.h"
#include "io/http_client.h"

namespace weir::gateway {
namespace {

constexpr Duration kPatience = Duration::Seconds(1);  // with one replica
constexpr Duration kAll = Duration::Seconds(3);       // and with all of them
constexpr size_t kMaxBytes = 1 << 20;                 // of one's answer
constexpr size_t kMaxBuckets = 100;

struct Sample {
  std::string_view name, labels;
  double value = 0;
};

// "name{labels} value" or "name value"; nullopt: a comment, or nothing of the kind.
std::optional<Sample> ReadLine(std::string_view line) {
  const size_t blank = line.rfind(' ');
  if (line.empty() || line[0] == '#' || blank == std::string_view::npos) return std::nullopt;
  Sample sample;
  const std::string_view number = line.substr(blank + 1);
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), sample.value);
  if (error != std::errc() || end != number.data() + number.size()) return std::nullopt;
  if (!(sample.value >= 0 && sample.value < 9e15)) return std::nullopt;  // no count, no border
  const std::string_view head = line.substr(0, blank);
  const size_t brace = std::min(head.find('{'), head.size());
  sample.name = head.substr(0, brace);
  sample.labels = head.substr(brace);
  return sample;
}

// A bucket of a histogram, whose counts are cumulative: {le="0.5"}.
void AddBucket(const Sample& sample, size_t index, wire::LatencyView& out) {
  const size_t begin = sample.labels.find("le=\"");
  if (begin == std::string_view::npos) return;
  const std::string_view le = sample.labels.substr(begin + 4);
  double border = -1;  // of +Inf
  std::from_chars(le.data(), le.data() + le.find('"'), border);
  if (index >= kMaxBuckets) return;
  if (index == out.count.size()) {
    out.border_ms.push_back(border < 0 ? 0 : border * 1e3);
    out.count.push_back(0);
  }
  out.count[index] += static_cast<int64_t>(sample.value);
}

}  // namespace

bool AddEngineText(std::string_view text, wire::EngineView& sum) {
  bool engine = false;
  size_t ttft = 0, tpot = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::optional<Sample> sample = ReadLine(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!sample || !sample->name.starts_with("weir_engine_")) continue;
    engine = true;
    const std::string_view name = sample->name.substr(12);
    const auto value = static_cast<int64_t>(sample->value);
    const auto has = [&](std::string_view label) {
      return sample->labels.find(label) != std::string_view::npos;
    };
    if (name == "running_sequences") sum.running += value;
    if (name == "max_batch") sum.max_batch += value;
    if (name == "queue_length") sum.queued += value;
    if (name == "kv_blocks" && has("\"used\"")) sum.kv_blocks_used += value;
    if (name == "kv_blocks" && has("\"cached\"")) sum.kv_blocks_cached += value;
    if (name == "kv_blocks" && has("\"free\"")) sum.kv_blocks_free += value;
    if (name == "prompt_tokens_total") sum.prompt_tokens += value;
    if (name == "prefix_hit_tokens_total") sum.prefix_hit_tokens += value;
    if (name == "generated_tokens_total") sum.generated_tokens += value;
    if (name == "drafted_tokens_total") sum.drafted_tokens += value;
    if (name == "accepted_tokens_total") sum.accepted_tokens += value;
    if (name == "ttft_seconds_bucket") AddBucket(*sample, ttft++, sum.ttft);
    if (name == "tpot_seconds_bucket") AddBucket(*sample, tpot++, sum.tpot);
  }
  if (engine) ++sum.replicas;
  return engine;
}

wire::EngineView AskEngines(const wire::LabView& view, const wire::Service& service) {
  wire::EngineView sum;
  const io::RealClock clock;
  const Duration began = clock.Monotonic();
  for (const wire::Lease& lease : view.leases) {
    if (lease.holder != service.id || !lease.ready || lease.port <= 0) continue;
    const Duration left = kAll - (clock.Monotonic() - began);
    if (left.us <= 0) break;
    const Result<io::HttpResult> answer =
        io::Fetch({.url = fmt::format("http://127.0.0.1:{}/metrics", lease.port),
                   .deadline = std::min(left, kPatience),
                   .max_body_bytes = kMaxBytes});
    if (answer && answer->status == 200) AddEngineText(answer->body, sum);
  }
  return sum;
}

}  // namespace weir::gateway
