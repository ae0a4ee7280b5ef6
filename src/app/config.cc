#include "app/config.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "base/nearest.h"
#include "lab/sched/policy.h"

namespace weir::app {

namespace {

using enum OptionType;

std::vector<OptionInfo> MakeOptions() {
  std::vector<OptionInfo> all = {
      {"lab.name", kString, "", "lab", 0, 0, "Name of the lab, shown wherever it is shown."},
      {"lab.listen", kString, "", "127.0.0.1:7575", 0, 0,
       "Address and port of the API, the OpenAI edge and the dashboard; port 0 takes a free one."},
      {"lab.drain", kDuration, "", "30s", 0, 3600,
       "How long a stop (Ctrl-C, SIGTERM) waits for work to be saved and requests to be answered."},
      {"lab.log_level", kString, "", "info", 0, 0, "trace, debug, info, warn, error or off."},
      {"lab.tick", kDuration, "", "200ms", 0.01, 60,
       "How often the control loop looks and decides."},
      {"gateway.threads", kInteger, "threads", "1", 1, 64,
       "Threads that move requests and answers."},
      {"gateway.max_connections", kInteger, "connections", "20000", 16, 1e6,
       "Connections kept open at most; more are refused."},
      {"gateway.max_body", kBytes, "", "8MiB", 1024, 1 << 30,
       "Largest request body; above it 413."},
      {"gateway.open_metrics", kBool, "", "true", 0, 0, "Serve /metrics without a key."},
      {"site.slots", kInteger, "slots", "0", 0, 4096,
       "Slots of the site `local`; 0 means two for each core, and at least four."},
      {"site.power_w_per_slot", kNumber, "W", "15", 0, 1e5, "Stated draw of a busy slot."},
      {"site.price_usd_per_slot_h", kNumber, "USD", "0.02", 0, 1e4, "Price of a slot for an hour."},
      {"story.enabled", kBool, "", "true", 0, 0,
       "On an empty data folder: build a dataset, train a small model on it and serve it."},
      {"story.text", kList, "paths", "", 0, 0,
       "Files and folders to train on; empty means the documentation on this machine."},
      {"story.max_text", kBytes, "", "12MiB", 4096, 1e12, "Text taken at most."},
      {"story.preset", kString, "", "tiny", 0, 0, "Size of the model: see `weir train --help`."},
      {"story.steps", kInteger, "steps", "20000", 1, 1e9, "Training steps of the story's job."},
      {"story.train_time", kDuration, "", "20m", 1, 1e7,
       "How long the story's training job trains."},
      {"story.checkpoint_interval", kDuration, "", "10s", 1, 1e6, "Between two checkpoints."},
      {"story.max_workers", kInteger, "slots", "0", 0, 4096,
       "Most workers of the training job; 0 means every slot that research holds."},
      {"story.product_floor", kInteger, "slots", "1", 1, 4096,
       "Slots that team `product` is guaranteed."},
      {"story.gate", kNumber, "share", "0.5", 0.01, 1,
       "A checkpoint may serve when its held-out loss is below this share of ln(vocabulary)."},
      {"story.improve_by", kNumber, "nats", "0.05", 0, 10,
       "How much better a later checkpoint must be to be rolled out."},
  };
  for (const sched::PolicyOption& o : sched::PolicyOptions()) {
    OptionInfo info;
    info.name = "policy." + std::string(o.name);
    info.type = o.type == "duration"  ? kDuration
                : o.type == "integer" ? kInteger
                : o.type == "bool"    ? kBool
                                      : kNumber;
    info.unit = o.unit;
    info.default_value = o.default_text;
    info.help = o.what;
    all.push_back(std::move(info));
  }
  return all;
}

template <class T>
std::optional<T> Parse(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// What the value is as a number, for the range check; nullopt when it is not of its type.
std::optional<double> Measure(const OptionInfo& option, const std::string& text) {
  switch (option.type) {
    case kString:
    case kList:
      return 0;
    case kBool:
      return text == "true" || text == "false" ? std::optional<double>(0) : std::nullopt;
    case kInteger: {
      const auto n = Parse<int64_t>(text);
      return n ? std::optional<double>(static_cast<double>(*n)) : std::nullopt;
    }
    case kNumber: {
      const auto n = Parse<double>(text);
      return n && std::isfinite(*n) ? n : std::nullopt;
    }
    case kDuration: {
      const auto d = ParseDuration(text);
      return d ? std::optional<double>(d->seconds()) : std::nullopt;
    }
    case kBytes: {
      const auto b = ParseBytes(text);
      return b ? std::optional<double>(static_cast<double>(*b)) : std::nullopt;
    }
  }
  return std::nullopt;
}

const char* Expected(OptionType type) {
  switch (type) {
    case kString:
      return "text";
    case kList:
      return "paths separated by ':'";
    case kInteger:
      return "a whole number";
    case kNumber:
      return "a number";
    case kBool:
      return "true or false";
    case kDuration:
      return "a time such as 30s, 5m or 250ms";
    case kBytes:
      return "bytes such as 64k, 12MiB or 1GiB";
  }
  return "";
}

Status Validate(const OptionInfo& option, const Config::Value& value) {
  const std::optional<double> measure = Measure(option, value.text);
  if (!measure) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{} ({}): expected {}, got \"{}\"", option.name, value.source,
                             Expected(option.type), value.text));
  }
  if (option.min != option.max && (*measure < option.min || *measure > option.max)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{} ({}): {} is out of range; it must be from {} to {}{}", option.name,
                             value.source, value.text, option.min, option.max,
                             option.type == kDuration ? " seconds" : ""));
  }
  return {};
}

std::string Nearest(const std::string& name) {
  std::vector<std::string> known;
  for (const OptionInfo& o : Options()) known.push_back(o.name);
  const std::string nearest = NearestOf(name, known);
  return nearest.empty() ? "see `weir config show`" : "did you mean " + nearest + "?";
}

Status ReadToml(const std::string& text, const std::string& file_name,
                std::map<std::string, Config::Value>& out) {
  toml::table table;
  try {
    table = toml::parse(text, file_name);
  } catch (const toml::parse_error& e) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{}:{}:{}: {}", file_name, e.source().begin.line,
                             e.source().begin.column, e.description()));
  }
  for (const auto& [section, node] : table) {
    const toml::table* keys = node.as_table();
    if (!keys) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{}:{}: \"{}\" stands outside any [section]", file_name,
                               node.source().begin.line, std::string(section.str())))
          .Hint("see `weir config example`");
    }
    for (const auto& [key, value] : *keys) {
      const std::string name = std::string(section.str()) + "." + std::string(key.str());
      if (!FindOption(name)) {
        return Error(Code::kInvalidArgument, fmt::format("{}:{}: {} is not an option", file_name,
                                                         value.source().begin.line, name))
            .Hint(Nearest(name));
      }
      std::string as_text;
      if (const auto* s = value.as_string()) {
        as_text = s->get();
      } else if (const auto* a = value.as_array()) {
        for (const auto& element : *a) {
          const auto* s2 = element.as_string();
          if (!s2)
            return Error(Code::kInvalidArgument,
                         fmt::format("{}: {}: expected strings", file_name, name));
          as_text += (as_text.empty() ? "" : ":") + s2->get();
        }
      } else {
        std::ostringstream printed;
        if (const auto* i = value.as_integer())
          printed << i->get();
        else if (const auto* f = value.as_floating_point())
          printed << f->get();
        else if (const auto* b = value.as_boolean())
          printed << (b->get() ? "true" : "false");
        as_text = printed.str();
      }
      out[name] = {as_text, fmt::format("{}:{}", file_name, value.source().begin.line)};
    }
  }
  return {};
}

}  // namespace

std::string OptionInfo::Flag() const {
  std::string flag = name.starts_with("lab.") ? name.substr(4) : name;
  for (char& c : flag) {
    if (c == '.' || c == '_') c = '-';
  }
  return "--" + flag;
}

std::string OptionInfo::Env() const {
  std::string env = "WEIR_" + name;
  for (char& c : env)
    c = c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return env;
}

const std::vector<OptionInfo>& Options() {
  static const std::vector<OptionInfo> kAll = MakeOptions();
  return kAll;
}

const OptionInfo* FindOption(const std::string& name) {
  for (const OptionInfo& option : Options()) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

Result<Config> Config::Load(
    const std::map<std::string, std::string>& flags,
    const std::function<std::optional<std::string>(const std::string&)>& env,
    const std::string& file, const std::string& file_name) {
  Config config;
  std::map<std::string, Value> from_file;
  TRY(ReadToml(file, file_name, from_file));
  for (const OptionInfo& option : Options()) {
    Value value{option.default_value, "default"};
    if (const auto it = from_file.find(option.name); it != from_file.end()) value = it->second;
    if (const std::optional<std::string> text = env(option.Env())) value = {*text, option.Env()};
    if (const auto it = flags.find(option.name); it != flags.end())
      value = {it->second, "flag " + option.Flag()};
    TRY(Validate(option, value));
    config.values_[option.name] = std::move(value);
  }
  if (const Result<sched::Policy> policy = config.Policy(); !policy) {
    return Error(Code::kInvalidArgument, "[policy] " + policy.error().message())
        .Hint(policy.error().hint());
  }
  return config;
}

const Config::Value& Config::Get(const std::string& name) const {
  const auto it = values_.find(name);
  CHECK_MSG(it != values_.end(), "option {}", name);
  return it->second;
}

std::vector<std::string> Config::List(const std::string& name) const {
  std::vector<std::string> out;
  std::stringstream in(Get(name).text);
  for (std::string part; std::getline(in, part, ':');) {
    if (!part.empty()) out.push_back(part);
  }
  return out;
}
int64_t Config::Integer(const std::string& name) const { return *Parse<int64_t>(Get(name).text); }
double Config::Number(const std::string& name) const { return *Parse<double>(Get(name).text); }
bool Config::Bool(const std::string& name) const { return Get(name).text == "true"; }
Duration Config::Span(const std::string& name) const { return *ParseDuration(Get(name).text); }
int64_t Config::Bytes(const std::string& name) const { return *ParseBytes(Get(name).text); }

Result<sched::Policy> Config::Policy() const {
  std::map<std::string, std::string> values;
  for (const auto& [name, value] : values_) {
    if (name.starts_with("policy.")) values[name.substr(7)] = value.text;
  }
  return sched::PolicyFrom(values);
}

std::string ExampleToml() {
  std::string out =
      "# Weir's configuration. Every option at its default; uncomment what you change.\n";
  std::string section;
  for (const OptionInfo& o : Options()) {
    const size_t dot = o.name.find('.');
    if (o.name.substr(0, dot) != section) {
      section = o.name.substr(0, dot);
      out += fmt::format("\n[{}]\n", section);
    }
    const bool bare = o.type == kInteger || o.type == kNumber || o.type == kBool;
    out += fmt::format("# {}\n# {} = {}\n", o.help, o.name.substr(dot + 1),
                       o.type == kList ? "[]"
                       : bare          ? o.default_value
                                       : "\"" + o.default_value + "\"");
  }
  return out;
}

std::string OptionsMarkdown() {
  std::string out =
      "| option | flag | environment | default | what it does |\n| --- | --- | --- | --- | --- |\n";
  for (const OptionInfo& o : Options()) {
    out += fmt::format("| `{}` | `{}` | `{}` | {} | {} |\n", o.name, o.Flag(), o.Env(),
                       o.default_value.empty() ? "" : "`" + o.default_value + "`", o.help);
  }
  return out;
}

}  // namespace weir::app
