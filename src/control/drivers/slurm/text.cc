#include "control/drivers/slurm/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace weir::control::slurm {
namespace {

using std::string_view;

constexpr int kTopologyDepth = 8;

Error Unclear(const char* what, string_view line) {
  return Error(Code::kDataLoss,
               fmt::format("Slurm's list of {} has a line that makes no sense: \"{}\"", what,
                           line.substr(0, 120)))
      .Hint("see docs/guides/slurm-site.md for the versions that this was run against");
}

std::optional<int64_t> Number(string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

string_view Trim(string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

// The next line without its "\n"; false at the end.
bool NextLine(string_view& text, string_view& line) {
  if (text.empty()) return false;
  const size_t end = text.find('\n');
  line = text.substr(0, end);
  text.remove_prefix(end == string_view::npos ? text.size() : end + 1);
  return true;
}

// The first `count - 1` fields end at a '|'; the last is the rest, less the '|' behind it.
bool Split(string_view line, size_t count, std::vector<string_view>& fields) {
  fields.clear();
  while (fields.size() + 1 < count) {
    const size_t bar = line.find('|');
    if (bar == string_view::npos) return false;
    fields.push_back(Trim(line.substr(0, bar)));
    line.remove_prefix(bar + 1);
  }
  line = Trim(line);
  if (!line.empty() && line.back() == '|') line.remove_suffix(1);
  fields.push_back(Trim(line));
  return true;
}

string_view NotNull(string_view text) {
  return text == "(null)" || text == "N/A" || text == "none" || text == "None" ? string_view()
                                                                               : text;
}

std::string Upper(string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

}  // namespace

// ---- jobs ----

Result<std::vector<Job>> ParseJobs(string_view text) {
  std::vector<Job> jobs;
  std::vector<string_view> f;
  for (string_view line; NextLine(text, line);) {
    if (Trim(line).empty()) continue;
    if (!Split(line, 6, f)) return Unclear("jobs", line);
    // Elements of arrays and parts of heterogeneous jobs ("12_3", "12_[4-9]", "12+1") are not ours.
    const size_t digits = std::min(f[0].find_first_not_of("0123456789"), f[0].size());
    if (digits > 0 && digits < f[0].size() && (f[0][digits] == '_' || f[0][digits] == '+'))
      continue;
    const auto id = Number(f[0]);
    const auto exit = Number(f[2]);
    if (!id || *id <= 0 || !exit || f[1].empty()) return Unclear("jobs", line);
    jobs.push_back({*id, std::string(f[1]), *exit, std::string(NotNull(f[3])),
                    std::string(NotNull(f[4])), std::string(f[5])});
  }
  return jobs;
}

JobStage StageOf(string_view state) {
  static constexpr string_view kPending[] = {"PENDING",      "CONFIGURING",  "REQUEUED",
                                             "REQUEUE_FED",  "REQUEUE_HOLD", "RESV_DEL_HOLD",
                                             "SPECIAL_EXIT", "POWER_UP_NODE"};
  static constexpr string_view kRunning[] = {"RUNNING", "SUSPENDED", "STOPPED", "RESIZING"};
  static constexpr string_view kEnded[] = {"COMPLETED", "CANCELLED",     "FAILED",       "TIMEOUT",
                                           "NODE_FAIL", "PREEMPTED",     "BOOT_FAIL",    "DEADLINE",
                                           "REVOKED",   "OUT_OF_MEMORY", "LAUNCH_FAILED"};
  const auto in = [&](const auto& all) {
    return std::find(std::begin(all), std::end(all), state) != std::end(all);
  };
  if (in(kPending)) return JobStage::kPending;
  if (in(kRunning)) return JobStage::kRunning;
  if (in(kEnded)) return JobStage::kEnded;
  return JobStage::kEnding;  // COMPLETING, SIGNALING, STAGE_OUT, and what newer versions invent
}

Result<std::vector<Job>> ParseAccounting(string_view text) {
  std::vector<Job> jobs;
  std::vector<string_view> f;
  for (string_view line; NextLine(text, line);) {
    if (Trim(line).empty()) continue;
    if (!Split(line, 4, f)) return Unclear("accounted jobs", line);
    const auto id = Number(f[0]);
    if (!id || *id <= 0 || f[1].empty()) return Unclear("accounted jobs", line);
    const size_t colon = f[2].find(':');
    const auto code = Number(f[2].substr(0, colon));
    const auto signal =
        colon == string_view::npos ? std::optional<int64_t>(0) : Number(f[2].substr(colon + 1));
    if (!code || !signal || *code < 0 || *code > 255 || *signal < 0 || *signal > 127)
      return Unclear("accounted jobs", line);
    Job job;
    job.id = *id;
    job.state = std::string(f[1].substr(0, f[1].find(' ')));
    job.reason = std::string(f[1]);
    job.exit = *code * 256 + *signal;
    job.name = std::string(f[3]);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

// ---- nodes ----

Result<std::vector<Gres>> ParseGres(string_view text) {
  std::vector<Gres> all;
  text = Trim(text);
  if (NotNull(text).empty()) return all;
  while (!text.empty()) {
    // To the next comma outside of parentheses.
    size_t end = 0;
    for (int depth = 0; end < text.size() && (depth > 0 || text[end] != ','); ++end)
      depth += text[end] == '(' ? 1 : text[end] == ')' ? -1 : 0;
    string_view one = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    one = one.substr(0, one.find('('));
    std::vector<string_view> parts;
    for (size_t at = 0; at <= one.size();) {
      const size_t colon = std::min(one.find(':', at), one.size());
      parts.push_back(one.substr(at, colon - at));
      at = colon + 1;
    }
    if (parts[0].empty() || parts.size() > 3) return Unclear("generic resources", one);
    Gres gres;
    gres.name = std::string(parts[0]);
    gres.count = 1;
    if (parts.size() > 1) {
      string_view last = parts.back();
      const int64_t scale = last.ends_with('K') ? 1024 : last.ends_with('M') ? 1024 * 1024 : 1;
      if (scale > 1) last.remove_suffix(1);
      const auto count = Number(last);
      if (count && *count >= 0 && *count <= 1'000'000)
        gres.count = *count * scale;
      else if (parts.size() == 3 || count)
        return Unclear("generic resources", one);
      if (parts.size() == 3 || !count) gres.type = std::string(parts[1]);
    }
    all.push_back(std::move(gres));
  }
  return all;
}

Result<std::vector<Node>> ParseNodes(string_view text) {
  std::vector<Node> nodes;
  std::vector<string_view> f;
  for (string_view line; NextLine(text, line);) {
    if (Trim(line).empty()) continue;
    if (!Split(line, 10, f)) return Unclear("nodes", line);
    Node node;
    node.name = std::string(f[0]);
    node.address = std::string(NotNull(f[1]));
    node.state = Upper(f[2]);
    node.default_partition = f[3].ends_with('*');
    node.partition = std::string(f[3].substr(0, f[3].size() - (node.default_partition ? 1 : 0)));
    // "allocated/idle/other/total"
    std::vector<int64_t> cpus;
    for (size_t at = 0; at <= f[4].size();) {
      const size_t slash = std::min(f[4].find('/', at), f[4].size());
      const auto n = Number(f[4].substr(at, slash - at));
      if (!n || *n < 0) return Unclear("nodes", line);
      cpus.push_back(*n);
      at = slash + 1;
    }
    const auto memory = Number(f[5]);
    if (node.name.empty() || node.name.find('/') != std::string::npos || node.state.empty() ||
        cpus.size() != 4 || !memory || *memory < 0)
      return Unclear("nodes", line);
    node.cpus_used = cpus[0];
    node.cpus = cpus[3];
    node.memory_mb = *memory;
    node.gres = TRY(ParseGres(f[6]));
    node.gres_used = TRY(ParseGres(f[7]));
    node.features = std::string(NotNull(f[8]));
    node.reason = std::string(NotNull(f[9]));
    nodes.push_back(std::move(node));
  }
  return nodes;
}

NodeUse UseOf(string_view state) {
  const auto has = [&](string_view word) { return state.find(word) != string_view::npos; };
  for (const string_view bad :
       {"DOWN", "FAIL", "ERROR", "UNKNOWN", "INVAL", "FUTURE", "UNK", "NO_RESPOND",
        "NOT_RESPONDING", "POWERED", "POWERING", "POWER_DOWN", "POWER_UP"}) {
    if (has(bad)) return NodeUse::kDown;
  }
  if (state.ends_with('*')) return NodeUse::kDown;  // not responding
  for (const string_view busy : {"DRAIN", "MAINT", "RESERVED", "BLOCKED", "REBOOT", "PERFCTRS"}) {
    if (has(busy)) return NodeUse::kDrained;
  }
  return NodeUse::kUp;
}

// ---- the rest ----

namespace {

// Appends every expansion of `text` (no top-level comma in it) behind `head`.
Status Expand(const std::string& head, string_view text, std::vector<std::string>& out) {
  const size_t open = text.find('[');
  if (open == string_view::npos) {
    if (text.find(']') != string_view::npos) return Unclear("hosts", text);
    if (out.size() >= kMaxHosts) return Error(Code::kTooLarge, "a host list of over 100000 names");
    out.push_back(head + std::string(text));
    return {};
  }
  const size_t close = text.find(']', open);
  if (close == string_view::npos) return Unclear("hosts", text);
  string_view ranges = text.substr(open + 1, close - open - 1);
  const string_view rest = text.substr(close + 1);
  const std::string stem = head + std::string(text.substr(0, open));
  if (ranges.empty()) return Unclear("hosts", text);
  for (size_t at = 0; at <= ranges.size();) {
    const size_t comma = std::min(ranges.find(',', at), ranges.size());
    const string_view range = ranges.substr(at, comma - at);
    at = comma + 1;
    const size_t dash = range.find('-');
    const string_view first = range.substr(0, dash);
    const auto from = Number(first);
    const auto to = dash == string_view::npos ? from : Number(range.substr(dash + 1));
    if (!from || !to || *from < 0 || *to < *from || first.size() > 12)
      return Unclear("hosts", text);
    if (*to - *from >= static_cast<int64_t>(kMaxHosts))
      return Error(Code::kTooLarge, "a host list of over 100000 names");
    for (int64_t n = *from; n <= *to; ++n)
      TRY(Expand(stem + fmt::format("{:0{}}", n, first.size()), rest, out));
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> ParseHosts(string_view text) {
  std::vector<std::string> hosts;
  text = NotNull(Trim(text));
  if (std::count(text.begin(), text.end(), '[') > 1000) return Unclear("hosts", text);
  while (!text.empty()) {
    size_t end = 0;
    for (bool inside = false; end < text.size() && (inside || text[end] != ','); ++end)
      inside = text[end] == '[' || (inside && text[end] != ']');
    const string_view one = text.substr(0, end);
    if (one.empty() || std::count(one.begin(), one.end(), '[') > 4) return Unclear("hosts", text);
    TRY(Expand("", one, hosts));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return hosts;
}

string_view WordOf(string_view line, string_view key) {
  for (size_t at = 0; (at = line.find(key, at)) != string_view::npos; at += key.size()) {
    const size_t equals = at + key.size();
    if ((at != 0 && line[at - 1] != ' ') || equals >= line.size() || line[equals] != '=') continue;
    const string_view value = line.substr(equals + 1);
    return value.substr(0, value.find(' '));
  }
  return {};
}

Result<std::vector<Reservation>> ParseReservations(string_view text) {
  std::vector<Reservation> all;
  for (string_view line; NextLine(text, line);) {
    const string_view name = WordOf(line, "ReservationName");
    if (name.empty()) continue;  // "No reservations in the system"
    const auto start = Number(WordOf(line, "StartTime"));
    const auto end = Number(WordOf(line, "EndTime"));
    constexpr int64_t kFarthest = 1LL << 40;
    if (!start || !end || *start < 0 || *end < *start || *end > kFarthest)
      return Unclear("reservations", line);
    Reservation r;
    r.name = std::string(name);
    r.start = {*start * 1'000'000};
    r.end = {*end * 1'000'000};
    r.nodes = TRY(ParseHosts(WordOf(line, "Nodes")));
    r.maintenance = WordOf(line, "Flags").find("MAINT") != string_view::npos;
    all.push_back(std::move(r));
  }
  return all;
}

Result<std::vector<std::pair<std::string, std::string>>> ParseTopology(string_view text) {
  std::map<std::string, std::string> above;  // switch or node -> the switch that holds it
  std::set<std::string> switches;
  std::vector<std::string> nodes;
  for (string_view line; NextLine(text, line);) {
    const std::string name(WordOf(line, "SwitchName"));
    if (name.empty()) continue;
    switches.insert(name);
    for (std::string& below : TRY(ParseHosts(WordOf(line, "Switches")))) above[below] = name;
    if (WordOf(line, "Level") != "0") continue;  // higher ones list the nodes below them too
    for (std::string& node : TRY(ParseHosts(WordOf(line, "Nodes")))) {
      if (above.emplace(node, name).second) nodes.push_back(std::move(node));
    }
  }
  std::vector<std::pair<std::string, std::string>> paths;
  std::sort(nodes.begin(), nodes.end());
  for (const std::string& node : nodes) {
    std::string path;
    std::string at = node;
    int depth = 0;
    for (; depth < kTopologyDepth && above.count(at) != 0; ++depth) {
      at = above[at];
      path = path.empty() ? at : at + "/" + path;
    }
    if (depth == kTopologyDepth) return std::vector<std::pair<std::string, std::string>>{};
    paths.emplace_back(node, path);
  }
  return paths;
}

std::optional<std::string> ConfigValue(string_view text, string_view key) {
  for (string_view line; NextLine(text, line);) {
    const size_t equals = line.find('=');
    if (equals != string_view::npos && Trim(line.substr(0, equals)) == key)
      return std::string(NotNull(Trim(line.substr(equals + 1))));
  }
  return std::nullopt;
}

std::optional<Duration> ParseTimeLimit(string_view text) {
  int64_t days = 0;
  if (const size_t dash = text.find('-'); dash != string_view::npos) {
    const auto n = Number(text.substr(0, dash));
    if (!n || *n < 0 || *n > 100'000) return std::nullopt;
    days = *n;
    text.remove_prefix(dash + 1);
  }
  std::vector<int64_t> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t colon = std::min(text.find(':', at), text.size());
    const auto n = Number(text.substr(at, colon - at));
    if (!n || *n < 0 || *n > 100'000'000) return std::nullopt;
    parts.push_back(*n);
    at = colon + 1;
  }
  // d-h[:m[:s]]; h:m:s; m:s; m
  int64_t h = 0, m = 0, s = 0;
  if (parts.size() == 3) {
    h = parts[0], m = parts[1], s = parts[2];
  } else if (days > 0) {
    h = parts[0];
    if (parts.size() > 1) m = parts[1];
  } else if (parts.size() <= 2) {
    m = parts[0];
    if (parts.size() > 1) s = parts[1];
  } else {
    return std::nullopt;
  }
  return Duration::Seconds(((days * 24 + h) * 60 + m) * 60 + s);
}

}  // namespace weir::control::slurm
