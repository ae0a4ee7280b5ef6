#include "control/sim/scenario/fleet.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <sstream>
#include <variant>

#include "base/nearest.h"
#include "io/files.h"
#include "lab/sched/policy.h"

namespace weir::sim {

namespace {

constexpr int64_t kMaxNodes = 200'000;
constexpr int64_t kMaxSlotsOfANode = 64;
constexpr int64_t kMaxFileBytes = 16 << 20;

// A table of the file, read key by key; what was not asked for is an unknown key.
class Section {
 public:
  Section(const toml::table& table, std::string name, const std::string& file)
      : table_(table), name_(std::move(name)), file_(file) {}

  Error Bad(std::string_view key, std::string_view what) const {
    const toml::node* node = table_.get(key);
    const auto line = node != nullptr ? node->source().begin.line : table_.source().begin.line;
    return Error(Code::kInvalidArgument, fmt::format("{}:{}: {}{}{} {}", file_, line, name_,
                                                     name_.empty() ? "" : ".", key, what))
        .Hint("docs/sim.md lists every key with its range");
  }
  bool Has(std::string_view key) {
    known_.emplace_back(key);
    return table_.contains(key);
  }
  Status Text(std::string_view key, std::string* out) {
    if (!Has(key)) return {};
    const auto value = table_.get(key)->value_exact<std::string>();
    if (!value) return Bad(key, "is not text in quotes");
    *out = *value;
    return {};
  }
  Status Number(std::string_view key, double low, double high, double* out) {
    if (!Has(key)) return {};
    const toml::node* node = table_.get(key);
    if (!node->is_number()) return Bad(key, "is not a number");
    const double value = *node->value<double>();
    if (!std::isfinite(value) || value < low || value > high)
      return Bad(key, fmt::format("is {}, outside {}..{}", value, low, high));
    *out = value;
    return {};
  }
  Status Integer(std::string_view key, int64_t low, int64_t high, int64_t* out) {
    if (!Has(key)) return {};
    const auto value = table_.get(key)->value_exact<int64_t>();
    if (!value) return Bad(key, "is not a whole number");
    if (*value < low || *value > high)
      return Bad(key, fmt::format("is {}, outside {}..{}", *value, low, high));
    *out = *value;
    return {};
  }
  Status Length(std::string_view key, Duration* out) {
    if (!Has(key)) return {};
    const auto text = table_.get(key)->value_exact<std::string>();
    const auto value = text ? ParseDuration(*text) : std::nullopt;
    if (!value || value->us < 0 || value->seconds() > kMaxTraceSeconds)
      return Bad(key, "is not a duration in quotes such as \"90s\", \"30m\", \"4h\" or \"7d\"");
    *out = *value;
    return {};
  }
  Status Flag(std::string_view key, bool* out) {
    if (!Has(key)) return {};
    const auto value = table_.get(key)->value_exact<bool>();
    if (!value) return Bad(key, "is not true or false");
    *out = *value;
    return {};
  }
  const toml::node* Node(std::string_view key) { return Has(key) ? table_.get(key) : nullptr; }
  Status NothingElse() const {
    for (const auto& [key, node] : table_) {
      if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
      const std::string nearest = NearestOf(key.str(), known_);
      return Bad(key.str(),
                 nearest.empty()
                     ? fmt::format("is not a key; known here: {}", fmt::join(known_, ", "))
                     : fmt::format("is not a key; did you mean {}?", nearest));
    }
    return {};
  }
  const toml::table& table() const { return table_; }

 private:
  const toml::table& table_;
  std::string name_;
  const std::string& file_;
  std::vector<std::string> known_;
};

// [assume] and [faults] are one table of keys each: read and documented from it.
template <class T>
struct Key {
  std::string_view name;
  std::variant<Duration T::*, double T::*, int64_t T::*> field;
  double low, high;
  std::string_view what;
};

const Key<Assume> kAssumeKeys[] = {
    {"start_base", &Assume::start_base, 0, 0, "start of one slot until its first step"},
    {"start_per_doubling", &Assume::start_per_doubling, 0, 0, "added for each doubling of slots"},
    {"save_base", &Assume::save_base, 0, 0, "a checkpoint of one slot stalls the job so long"},
    {"save_per_doubling", &Assume::save_per_doubling, 0, 0, "added for each doubling of slots"},
    {"checkpoint_interval", &Assume::checkpoint_interval, 0, 0,
     "work between two checkpoints; at least 1s"},
    {"checkpointable_from", &Assume::checkpointable_from, 1, 1e6,
     "jobs of so many slots or more can be checkpointed"},
    {"checkpointable_share", &Assume::checkpointable_share, 0, 1,
     "of the smaller jobs, so many can, chosen by a hash of the id"},
    {"elastic_share", &Assume::elastic_share, 0, 1,
     "of checkpointable jobs with 4 slots or more, so many are elastic, by a hash of the id"},
    {"elastic_min", &Assume::elastic_min, 0.01, 1, "least size of an elastic job, of its slots"},
    {"elastic_max", &Assume::elastic_max, 1, 16, "largest size of an elastic job, of its slots"},
    {"scaling_exponent", &Assume::scaling_exponent, 0.1, 1,
     "n slots do n to this power times the work of one"},
    {"stop_grace", &Assume::stop_grace, 0, 0,
     "a job asked to stop saves first if that takes no longer; 0s: nobody saves at a stop"},
    {"stop_delay", &Assume::stop_delay, 0, 0, "until the processes of a stopped run are gone"},
    {"launch_delay", &Assume::launch_delay, 0, 0, "until a started run is seen running"},
    {"default_limit", &Assume::default_limit, 0, 0,
     "time limit of jobs that ask for none, for policies that need one"},
    {"spread_loss", &Assume::spread_loss, 0, 0.99,
     "a gang on more nodes than it needs runs so much slower"},
};
const Key<Faults> kFaultKeys[] = {
    {"node_failures_per_1000_node_days", &Faults::node_failures_per_1000_node_days, 0, 1e6,
     "2.3 to 6.5 in the published records of large clusters"},
    {"repair", &Faults::repair, 0, 0, "mean time until a failed node is back"},
    {"slow_per_1000_node_days", &Faults::slow_per_1000_node_days, 0, 1e6,
     "a node becomes slow, and every gang on it"},
    {"slow_speed", &Faults::slow_speed, 0.01, 1, "its speed then"},
    {"slow_for", &Faults::slow_for, 0, 0, "mean length of that"},
    {"outages_per_site_year", &Faults::outages_per_site_year, 0, 1e4,
     "a whole site is gone, untold"},
    {"outage_for", &Faults::outage_for, 0, 0, "mean length of that"},
    {"spot_mean_up", &Faults::spot_mean_up, 0, 0, "mean time until a spot node is reclaimed"},
    {"spot_mean_gone", &Faults::spot_mean_gone, 0, 0, "mean time until it can be had again"},
    {"spot_notice", &Faults::spot_notice, 0, 0, "a reclaim is told so long before"},
    {"lost_message", &Faults::lost_message, 0, 0.99,
     "chance that a start is lost on its way and sent again"},
    {"resend", &Faults::resend, 0, 0, "after so long"},
    {"late_message", &Faults::late_message, 0, 0, "mean delay of what sites tell"},
};

template <class T, size_t N>
Status ReadKeys(Section& section, const Key<T> (&keys)[N], T* out) {
  for (const Key<T>& key : keys) {
    if (const auto* d = std::get_if<Duration T::*>(&key.field)) {
      TRY(section.Length(key.name, &(out->**d)));
    } else if (const auto* x = std::get_if<double T::*>(&key.field)) {
      TRY(section.Number(key.name, key.low, key.high, &(out->**x)));
    } else {
      const auto n = std::get<int64_t T::*>(key.field);
      TRY(section.Integer(key.name, static_cast<int64_t>(key.low), static_cast<int64_t>(key.high),
                          &(out->*n)));
    }
  }
  return section.NothingElse();
}

template <class T, size_t N>
std::string KeyRows(const Key<T> (&keys)[N]) {
  std::string out = "| key | default | range | what it is |\n| --- | --- | --- | --- |\n";
  const T defaults;
  for (const Key<T>& key : keys) {
    std::string text, range = fmt::format("{} .. {}", key.low, key.high);
    if (const auto* d = std::get_if<Duration T::*>(&key.field)) {
      const int64_t s = (defaults.**d).us / 1'000'000;
      text = s > 0 && s % 3600 == 0 ? fmt::format("{}h", s / 3600)
             : s > 0 && s % 60 == 0 ? fmt::format("{}m", s / 60)
                                    : fmt::format("{}s", s);
      range = "a duration";
    } else if (const auto* x = std::get_if<double T::*>(&key.field)) {
      text = fmt::format("{}", defaults.**x);
    } else {
      text = fmt::format("{}", defaults.*std::get<int64_t T::*>(key.field));
    }
    out += fmt::format("| `{}` | {} | {} | {} |\n", key.name, text, range, key.what);
  }
  return out;
}

// ---- the parts of the file ----

class Reader {
 public:
  Reader(const std::string& file, const std::string& folder) : file_(file), folder_(folder) {}

  Result<FleetSpec> Read(const toml::table& top) {
    Section section(top, "", file_);
    TRY(section.Text("name", &out_.name));
    TRY(Each(section, "site", [this](Section& s) { return Site(s); }));
    if (out_.sites.empty()) out_.sites.push_back({.name = "a", .provider = ""});
    TRY(Each(section, "nodes", [this](Section& s) { return Nodes(s); }));
    if (out_.nodes.empty()) {
      return Error(Code::kInvalidArgument, fmt::format("{}: the fleet has no nodes", file_))
          .Hint("add [[nodes]] with `count` and `slots`, or `from`; docs/sim.md has an example");
    }
    TRY(Each(section, "maintenance",
             [this](Section& s) { return TimeWindow(s, &out_.maintenance); }));
    TRY(Each(section, "outage", [this](Section& s) { return TimeWindow(s, &out_.outages); }));
    TRY(Named(section, "team", [this](Section& s, const std::string& n) { return Team(s, n); }));
    TRY(Named(section, "service",
              [this](Section& s, const std::string& n) { return Service(s, n); }));
    TRY(One(section, "assume",
            [this](Section& s) { return ReadKeys(s, kAssumeKeys, &out_.assume); }));
    TRY(One(section, "faults",
            [this](Section& s) { return ReadKeys(s, kFaultKeys, &out_.faults); }));
    TRY(One(section, "policy", [this](Section& s) { return Policy(s); }));
    TRY(section.NothingElse());
    if (out_.assume.checkpoint_interval < Duration::Seconds(1)) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: assume.checkpoint_interval is below 1s", file_));
    }
    TRY(Teams());
    return std::move(out_);
  }

 private:
  Status Each(Section& top, const char* key, const std::function<Status(Section&)>& read) {
    const toml::node* node = top.Node(key);
    if (node == nullptr) return {};
    const toml::array* array = node->as_array();
    if (array == nullptr || !array->is_array_of_tables())
      return top.Bad(key, fmt::format("is not written as [[{}]]", key));
    for (size_t i = 0; i < array->size(); ++i) {
      Section section(*array->get_as<toml::table>(i), fmt::format("{}[{}]", key, i + 1), file_);
      TRY(read(section));
      TRY(section.NothingElse());
    }
    return {};
  }
  Status One(Section& top, const char* key, const std::function<Status(Section&)>& read) {
    const toml::node* node = top.Node(key);
    if (node == nullptr) return {};
    if (!node->is_table()) return top.Bad(key, fmt::format("is not written as [{}]", key));
    Section section(*node->as_table(), key, file_);
    return read(section);
  }
  Status Named(Section& top, const char* key,
               const std::function<Status(Section&, const std::string&)>& read) {
    const toml::node* node = top.Node(key);
    if (node == nullptr) return {};
    if (!node->is_table()) return top.Bad(key, fmt::format("is not written as [{}.NAME]", key));
    for (const auto& [name, value] : *node->as_table()) {
      if (!value.is_table())
        return top.Bad(key, fmt::format("holds {}, which is not [{}.NAME]", name.str(), key));
      Section section(*value.as_table(), fmt::format("{}.{}", key, name.str()), file_);
      TRY(read(section, std::string(name.str())));
      TRY(section.NothingElse());
    }
    return {};
  }

  Status Site(Section& s) {
    SiteSpec site;
    TRY(s.Text("name", &site.name));
    TRY(s.Text("provider", &site.provider));
    TRY(s.Number("energy_usd_per_kwh", 0, 100, &site.energy_usd_per_kwh));
    TRY(s.Number("pue", 1, 10, &site.pue));
    TRY(s.Number("carbon_g_per_kwh", 0, 10'000, &site.carbon_g_per_kwh));
    if (site.name.empty()) return s.Bad("name", "is missing");
    if (site.name.find('/') != std::string::npos) return s.Bad("name", "has a '/' in it");
    for (const SiteSpec& other : out_.sites) {
      if (other.name == site.name) return s.Bad("name", fmt::format("\"{}\" is taken", site.name));
    }
    out_.sites.push_back(std::move(site));
    return {};
  }

  Result<int> SiteNamed(Section& s) {
    std::string name;
    TRY(s.Text("site", &name));
    if (name.empty() && out_.sites.size() == 1) return 0;
    std::vector<std::string> names;
    for (size_t i = 0; i < out_.sites.size(); ++i) {
      if (out_.sites[i].name == name) return static_cast<int>(i);
      names.push_back(out_.sites[i].name);
    }
    return s.Bad("site", name.empty() ? fmt::format("is missing; sites: {}", fmt::join(names, ", "))
                                      : fmt::format("\"{}\" is no [[site]]; there are: {}", name,
                                                    fmt::join(names, ", ")));
  }

  Status Nodes(Section& s) {
    NodeSpec node;
    node.site = TRY(SiteNamed(s));
    int64_t count = 0, per_leaf = 0, per_spine = 0;
    std::string from;
    TRY(s.Integer("count", 1, kMaxNodes, &count));
    TRY(s.Text("from", &from));
    TRY(s.Integer("slots", 1, kMaxSlotsOfANode, &node.slots));
    TRY(s.Text("type", &node.type));
    TRY(s.Integer("nodes_per_leaf", 0, kMaxNodes, &per_leaf));
    TRY(s.Integer("leaves_per_spine", 0, kMaxNodes, &per_spine));
    TRY(s.Number("speed", 0.001, 1000, &node.speed));
    TRY(s.Number("price_usd_per_slot_h", 0, 10'000, &node.price_usd_per_slot_h));
    TRY(s.Number("power_w_per_slot", 0, 100'000, &node.power_w_per_slot));
    TRY(s.Number("idle_w_per_slot", 0, 100'000, &node.idle_w_per_slot));
    TRY(s.Flag("spot", &node.spot));
    TRY(s.Text("spot_zone", &node.spot_zone));
    TRY(s.Length("contract_end", &node.contract_end));
    if (!node.spot_zone.empty() && !node.spot)
      return s.Bad("spot_zone", "is only for nodes with spot = true");
    if (from.empty() == (count == 0))
      return s.Bad("count", "or `from` must be given, and not both");
    std::vector<NodeRow> rows;
    if (!from.empty()) {
      Trace trace;
      const std::string path =
          from.front() == '/' ? from : (std::filesystem::path(folder_) / from).string();
      if (const Status read = ReadTrace(path, {}, &trace); !read) {
        return s.Bad("from", fmt::format("cannot be used: {}", read.error().message()));
      }
      if (trace.nodes.empty()) return s.Bad("from", fmt::format("{} lists no nodes", path));
      rows = std::move(trace.nodes);
    }
    const int64_t n = from.empty() ? count : static_cast<int64_t>(rows.size());
    if (static_cast<int64_t>(out_.nodes.size()) + n > kMaxNodes)
      return s.Bad("count", fmt::format("makes more than {} nodes", kMaxNodes));
    std::map<std::string, int> leaves, spines;
    for (int64_t i = 0; i < n; ++i) {
      NodeSpec one = node;
      const int64_t number = next_node_[node.site]++;
      one.name = fmt::format("{}/n{}", out_.sites[static_cast<size_t>(node.site)].name, number);
      if (!rows.empty()) {
        const NodeRow& row = rows[static_cast<size_t>(i)];
        if (row.slots > kMaxSlotsOfANode)
          return s.Bad("from", fmt::format("has node {} with {} slots; at most {}", row.name,
                                           row.slots, kMaxSlotsOfANode));
        one.slots = row.slots;
        if (!row.type.empty()) one.type = row.type;
        one.leaf = leaves.try_emplace(row.leaf, static_cast<int>(leaves.size())).first->second;
        one.spine = spines.try_emplace(row.spine, static_cast<int>(spines.size())).first->second;
      } else {
        one.leaf = per_leaf > 0 ? static_cast<int>(number / per_leaf) : 0;
        one.spine = per_spine > 0 ? static_cast<int>(one.leaf / per_spine) : 0;
      }
      out_.nodes.push_back(std::move(one));
    }
    return {};
  }

  Status TimeWindow(Section& s, std::vector<Window>* to) {
    Window window;
    window.site = TRY(SiteNamed(s));
    TRY(s.Length("at", &window.at));
    TRY(s.Length("for", &window.length));
    if (window.length.us <= 0) return s.Bad("for", "is missing or 0");
    if (const toml::node* node = s.Node("nodes")) {
      const toml::array* array = node->as_array();
      if (array == nullptr) return s.Bad("nodes", "is not a list of names");
      for (const toml::node& item : *array) {
        const auto name = item.value_exact<std::string>();
        const auto found = std::find_if(out_.nodes.begin(), out_.nodes.end(),
                                        [&](const NodeSpec& n) { return name && n.name == *name; });
        if (found == out_.nodes.end())
          return s.Bad("nodes", fmt::format("has \"{}\", which is no node of this fleet",
                                            name.value_or("")));
        window.nodes.push_back(static_cast<int>(found - out_.nodes.begin()));
      }
    }
    to->push_back(std::move(window));
    return {};
  }

  Status Team(Section& s, const std::string& name) {
    wire::Team team;
    team.name = name;
    std::string team_class = "research";
    TRY(s.Text("class", &team_class));
    if (team_class != "research" && team_class != "product")
      return s.Bad("class", fmt::format("is \"{}\", not research or product", team_class));
    team.team_class =
        team_class == "product" ? wire::TeamClass::kProduct : wire::TeamClass::kResearch;
    TRY(s.Text("parent", &team.parent));
    TRY(s.Integer("guarantee_slots", 0, 10'000'000, &team.guarantee_slots));
    TRY(s.Integer("weight", 1, 1'000'000, &team.weight));
    TRY(s.Integer("lend_limit_slots", -1, 10'000'000, &team.lend_limit_slots));
    out_.teams.push_back(std::move(team));
    return {};
  }

  Status Service(Section& s, const std::string& name) {
    ServiceSpec service;
    service.name = name;
    TRY(s.Text("team", &service.team));
    if (const toml::node* own = s.Node("own_slots"); own != nullptr && own->is_string()) {
      if (own->value_exact<std::string>() != "mean")
        return s.Bad("own_slots", "is neither a number of slots nor \"mean\"");
    } else {
      TRY(s.Integer("own_slots", 0, 10'000'000, &service.own_slots));
    }
    TRY(s.Number("rate_per_replica", 1e-6, 1e9, &service.rate_per_replica));
    TRY(s.Integer("slots_per_replica", 1, kMaxSlotsOfANode, &service.slots_per_replica));
    TRY(s.Number("slo_utilization", 0.01, 1, &service.slo_utilization));
    TRY(s.Length("startup", &service.startup));
    TRY(s.Length("drain", &service.drain));
    TRY(s.Integer("max_replicas", 0, 10'000'000, &service.max_replicas));
    out_.services.push_back(std::move(service));
    return {};
  }

  Status Policy(Section& s) {
    std::map<std::string, std::string> values;
    for (const auto& [key, node] : s.table()) {
      const std::string name(key.str());
      if (const auto text = node.value_exact<std::string>()) {
        values[name] = *text;
      } else if (const auto flag = node.value_exact<bool>()) {
        values[name] = *flag ? "true" : "false";
      } else if (const auto whole = node.value_exact<int64_t>()) {
        values[name] = fmt::format("{}", *whole);
      } else if (const auto number = node.value_exact<double>()) {
        values[name] = fmt::format("{}", *number);
      }
    }
    Result<sched::Policy> policy = sched::PolicyFrom(values);
    if (!policy) return std::move(policy).error().In(file_);
    out_.policy = *policy;
    return {};
  }

  // The tree is a tree, and nobody is promised more than there is.
  Status Teams() {
    std::map<std::string, const wire::Team*> by_name;
    for (const wire::Team& team : out_.teams) by_name[team.name] = &team;
    std::map<std::string, int64_t> below;
    int64_t at_top = 0;
    for (const wire::Team& team : out_.teams) {
      std::set<std::string> seen{team.name};
      for (const wire::Team* at = &team; !at->parent.empty();) {
        const auto parent = by_name.find(at->parent);
        if (parent == by_name.end()) {
          return Error(Code::kInvalidArgument,
                       fmt::format("{}: team {} has the parent \"{}\", which is no team", file_,
                                   at->name, at->parent));
        }
        if (!seen.insert(at->parent).second) {
          return Error(Code::kInvalidArgument,
                       fmt::format("{}: the teams {} are each other's parents", file_,
                                   fmt::join(seen, ", ")))
              .Hint("a team at the top has no parent");
        }
        at = parent->second;
      }
      (team.parent.empty() ? at_top : below[team.parent]) += team.guarantee_slots;
    }
    for (const auto& [name, sum] : below) {
      const wire::Team& team = *by_name[name];
      if (team.guarantee_slots > 0 && sum > team.guarantee_slots) {
        return Error(Code::kInvalidArgument,
                     fmt::format("{}: the teams below {} are guaranteed {} slots, it has {}", file_,
                                 name, sum, team.guarantee_slots));
      }
      if (team.guarantee_slots == 0 && team.parent.empty()) at_top += sum;
    }
    if (at_top > out_.slots()) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: the teams are guaranteed {} slots, the fleet has {}", file_,
                               at_top, out_.slots()))
          .Hint("lower guarantee_slots, or add nodes");
    }
    return {};
  }

  const std::string& file_;
  const std::string& folder_;
  FleetSpec out_;
  std::map<int, int64_t> next_node_;
};

}  // namespace

int64_t FleetSpec::slots() const {
  int64_t sum = 0;
  for (const NodeSpec& node : nodes) sum += node.slots;
  return sum;
}

Result<FleetSpec> ParseFleet(std::string_view text, const std::string& file,
                             const std::string& folder) {
  toml::table top;
  try {
    top = toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{}:{}:{}: {}", file, error.source().begin.line,
                             error.source().begin.column, error.description()))
        .Hint("the file is TOML; docs/sim.md has an example");
  }
  return Reader(file, folder).Read(top);
}

Result<FleetSpec> ReadFleet(const std::string& path) {
  const std::string text = TRY(io::ReadFile(path, kMaxFileBytes));
  return ParseFleet(text, path, std::filesystem::path(path).parent_path().string());
}

FleetSpec PlainFleet(int64_t nodes, int64_t slots_per_node, std::string type) {
  FleetSpec fleet;
  fleet.sites.push_back({.name = "a", .provider = ""});
  for (int64_t i = 0; i < nodes; ++i) {
    NodeSpec node;
    node.name = fmt::format("a/n{}", i);
    node.slots = slots_per_node;
    node.type = type;
    fleet.nodes.push_back(std::move(node));
  }
  return fleet;
}

std::string FleetKeysMarkdown() {
  return "`[assume]`\n\n" + KeyRows(kAssumeKeys) + "\n`[faults]`\n\n" + KeyRows(kFaultKeys);
}

}  // namespace weir::sim
