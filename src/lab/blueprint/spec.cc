#include "lab/blueprint/spec.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <charconv>
#include <cmath>
#include <functional>
#include <map>

#include "lab/blueprint/suggest.h"

namespace weir::blueprint {

namespace {

struct Unit {
  std::string_view name;
  double factor;
};
struct DimensionInfo {
  std::string_view example;
  std::vector<Unit> units;
};

const DimensionInfo& InfoOf(Dimension d) {
  static const double ki = 1024;
  static const std::map<Dimension, DimensionInfo> table = {
      {Dimension::kBytes,
       {"80GiB",
        {{"B", 1},
         {"kB", 1e3},
         {"MB", 1e6},
         {"GB", 1e9},
         {"TB", 1e12},
         {"KiB", ki},
         {"MiB", ki * ki},
         {"GiB", ki * ki * ki},
         {"TiB", ki * ki * ki * ki}}}},
      {Dimension::kBytesPerSecond,
       {"3.35TB/s or 400Gbit/s",
        {{"B/s", 1},
         {"MB/s", 1e6},
         {"GB/s", 1e9},
         {"TB/s", 1e12},
         {"GiB/s", ki * ki * ki},
         {"TiB/s", ki * ki * ki * ki},
         {"Mbit/s", 1e6 / 8},
         {"Gbit/s", 1e9 / 8},
         {"Tbit/s", 1e12 / 8},
         {"Gb/s", 1e9 / 8},
         {"Tb/s", 1e12 / 8}}}},
      {Dimension::kFlops,
       {"989TFLOP/s",
        {{"GFLOP/s", 1e9},
         {"TFLOP/s", 1e12},
         {"PFLOP/s", 1e15},
         {"GFLOPS", 1e9},
         {"TFLOPS", 1e12},
         {"PFLOPS", 1e15},
         {"TF", 1e12},
         {"PF", 1e15}}}},
      {Dimension::kWatts, {"700W", {{"W", 1}, {"kW", 1e3}, {"MW", 1e6}}}},
      {Dimension::kDollarsPerHour,
       {"$2.49/h", {{"/h", 1}, {"/hour", 1}, {"USD/h", 1}, {" USD/h", 1}}}},
      {Dimension::kGramsPerKwh,
       {"250g/kWh", {{"g/kWh", 1}, {" g/kWh", 1}, {"kg/MWh", 1}, {"kg/kWh", 1000}}}},
      {Dimension::kTokens,
       {"15T", {{"", 1}, {"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"B", 1e9}, {"G", 1e9}, {"T", 1e12}}}},
      {Dimension::kPerSecond, {"20/s", {{"/s", 1}, {"/min", 1.0 / 60}, {"/h", 1.0 / 3600}}}},
  };
  return table.at(d);
}

}  // namespace

Result<double> ParseQuantity(std::string_view text, Dimension dimension, std::string_view field) {
  const DimensionInfo& info = InfoOf(dimension);
  std::string_view rest = text;
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  if (dimension == Dimension::kDollarsPerHour && rest.starts_with('$')) rest.remove_prefix(1);
  double value = 0;
  const auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (problem != std::errc() || !std::isfinite(value))
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: \"{}\" does not begin with a number", field, text))
        .Hint(fmt::format("write it as {}", info.example));
  std::string_view unit(end, static_cast<size_t>(rest.data() + rest.size() - end));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  while (!unit.empty() && unit.back() == ' ') unit.remove_suffix(1);
  if (value < 0)
    return Error(Code::kInvalidArgument, fmt::format("{}: {} is below zero", field, text))
        .Hint(fmt::format("write it as {}", info.example));
  for (const Unit& u : info.units)
    if (u.name == unit) return value * u.factor;
  if (unit.empty())
    return Error(Code::kInvalidArgument, fmt::format("{}: \"{}\" has no unit", field, text))
        .Hint(fmt::format("write it as {}", info.example));
  return Error(Code::kInvalidArgument, fmt::format("{}: \"{}\" is no unit for it", field, unit))
      .Hint(fmt::format("write it as {}", info.example));
}

namespace {

using Setter = std::function<Status(const toml::node&, const std::string& field)>;

Setter Number(double& into) {
  return [&into](const toml::node& node, const std::string& field) -> Status {
    const auto v = node.value<double>();
    if (!v || node.is_string())
      return Error(Code::kInvalidArgument, fmt::format("{} must be a number", field));
    into = *v;
    return {};
  };
}
Setter Flag(bool& into) {
  return [&into](const toml::node& node, const std::string& field) -> Status {
    if (!node.is_boolean())
      return Error(Code::kInvalidArgument, fmt::format("{} must be true or false", field));
    into = *node.value<bool>();
    return {};
  };
}
Setter Text(std::string& into) {
  return [&into](const toml::node& node, const std::string& field) -> Status {
    if (!node.is_string())
      return Error(Code::kInvalidArgument, fmt::format("{} must be text in quotes", field));
    into = *node.value<std::string>();
    return {};
  };
}
Setter WithUnit(double& into, Dimension d) {
  return [&into, d](const toml::node& node, const std::string& field) -> Status {
    if (node.is_number())
      return Error(Code::kInvalidArgument, fmt::format("{}: a number alone has no unit", field))
          .Hint(fmt::format("write it in quotes, as \"{}\"", InfoOf(d).example));
    if (!node.is_string())
      return Error(Code::kInvalidArgument, fmt::format("{} must be a quantity in quotes", field));
    into = TRY(ParseQuantity(*node.value<std::string>(), d, field));
    return {};
  };
}
Setter Whole(int& into) {
  return [&into](const toml::node& node, const std::string& field) -> Status {
    if (!node.is_integer())
      return Error(Code::kInvalidArgument, fmt::format("{} must be a whole number", field));
    const int64_t v = *node.value<int64_t>();
    if (v < 0 || v > 1'000'000)
      return Error(Code::kInvalidArgument,
                   fmt::format("{} is {}; 0 to 1,000,000 are possible", field, v));
    into = static_cast<int>(v);
    return {};
  };
}

// The whole file, which has a table `name` (a copy of that alone would forget its line numbers).
Result<toml::table> FileOf(std::string_view text, std::string_view source, std::string_view name) {
  toml::table root;
  try {
    root = toml::parse(text, source);
  } catch (const toml::parse_error& e) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{}, line {}: {}", source, e.source().begin.line, e.description()));
  }
  if (!root[name].is_table())
    return Error(Code::kInvalidArgument, fmt::format("{} has no table [{}]", source, name))
        .Hint("docs/blueprint.md shows one");
  return root;
}

Status Fill(const toml::table& table, const std::map<std::string, Setter>& fields,
            std::string_view source) {
  std::vector<std::string> known;
  for (const auto& [name, setter] : fields) known.push_back(name);
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where =
        fmt::format("{}, line {}: {}", source, node.source().begin.line, name);
    const auto it = fields.find(name);
    if (it == fields.end()) {
      return Error(Code::kInvalidArgument, fmt::format("{} is no field", where))
          .Hint(Suggest(name, known, "docs/blueprint.md", ""));
    }
    TRY(it->second(node, where));
  }
  return {};
}

Result<std::string> BaseOf(const toml::table& table, std::string_view source) {
  const toml::node* node = table.get("base");
  if (node == nullptr) return std::string();
  if (!node->is_string())
    return Error(Code::kInvalidArgument, fmt::format("{}: base must be a name in quotes", source));
  return *node->value<std::string>();
}

}  // namespace

Result<ModelShape> ParseModelToml(std::string_view text, std::string_view source) {
  const toml::table file = TRY(FileOf(text, source, "model"));
  const toml::table& table = *file["model"].as_table();
  ModelShape m;
  const std::string base = TRY(BaseOf(table, source));
  if (!base.empty()) {
    m = TRY(FindModel(base));
    m.aliases.clear();
    m.name = base + " (changed)";
  }
  std::string ignored;
  double layers = 0;
  TRY(Fill(table,
           {{"base", Text(ignored)},
            {"name", Text(m.name)},
            {"hidden", Number(m.hidden)},
            {"vocab", Number(m.vocab)},
            {"layers", Number(layers)},
            {"tied_embeddings", Flag(m.tied_embeddings)},
            {"biases", Flag(m.biases)},
            {"positions", Number(m.positions)},
            {"attention_layers", Number(m.attention_layers)},
            {"heads", Number(m.heads)},
            {"kv_heads", Number(m.kv_heads)},
            {"head_dim", Number(m.head_dim)},
            {"gated_attention", Flag(m.gated_attention)},
            {"qk_norm", Flag(m.qk_norm)},
            {"window", Number(m.window)},
            {"windowed_layers", Number(m.windowed_layers)},
            {"q_rank", Number(m.q_rank)},
            {"kv_rank", Number(m.kv_rank)},
            {"rope_dim", Number(m.rope_dim)},
            {"plain_dim", Number(m.plain_dim)},
            {"value_dim", Number(m.value_dim)},
            {"recurrent_layers", Number(m.recurrent_layers)},
            {"recurrent_inner", Number(m.recurrent_inner)},
            {"recurrent_in_width", Number(m.recurrent_in_width)},
            {"recurrent_state", Number(m.recurrent_state)},
            {"ffn_layers", Number(m.ffn_layers)},
            {"ffn", Number(m.ffn)},
            {"gated_ffn", Flag(m.gated_ffn)},
            {"moe_layers", Number(m.moe_layers)},
            {"experts", Number(m.experts)},
            {"experts_per_token", Number(m.experts_per_token)},
            {"expert_ffn", Number(m.expert_ffn)},
            {"shared_ffn", Number(m.shared_ffn)},
            {"moe_latent", Number(m.moe_latent)}},
           source));
  if (layers > 0) {
    // What is not said follows from the number of layers: attention in each, and one feed-forward.
    m.blocks = layers;
    if (table.get("attention_layers") == nullptr) m.attention_layers = layers - m.recurrent_layers;
    if (table.get("moe_layers") == nullptr && m.experts > 0)
      m.moe_layers = layers - (table.get("ffn_layers") != nullptr ? m.ffn_layers : 0);
    if (table.get("ffn_layers") == nullptr) m.ffn_layers = m.ffn > 0 ? layers - m.moe_layers : 0;
  }
  if (m.kv_heads == 0 && !m.latent()) m.kv_heads = m.heads;
  if (m.head_dim == 0 && m.heads > 0) m.head_dim = m.hidden / m.heads;
  if (m.name.empty()) m.name = std::string(source);
  TRY(Validate(m));
  return m;
}

Result<Accelerator> ParseAcceleratorToml(std::string_view text, std::string_view source) {
  const toml::table file = TRY(FileOf(text, source, "accelerator"));
  const toml::table& table = *file["accelerator"].as_table();
  Accelerator a;
  const std::string base = TRY(BaseOf(table, source));
  if (!base.empty()) {
    a = TRY(FindAccelerator(base));
    a.aliases.clear();
    a.mesh_rings.clear();
    a.name = base + " (changed)";
  }
  std::string ignored;
  TRY(Fill(table,
           {{"base", Text(ignored)},
            {"name", Text(a.name)},
            {"bf16", WithUnit(a.bf16_flops, Dimension::kFlops)},
            {"fp8", WithUnit(a.fp8_flops, Dimension::kFlops)},
            {"fp4", WithUnit(a.fp4_flops, Dimension::kFlops)},
            {"microscaling", Flag(a.microscaling)},
            {"memory", WithUnit(a.memory_bytes, Dimension::kBytes)},
            {"memory_bandwidth", WithUnit(a.memory_bytes_per_s, Dimension::kBytesPerSecond)},
            {"link_bandwidth", WithUnit(a.link_bytes_per_s, Dimension::kBytesPerSecond)},
            {"nic_bandwidth", WithUnit(a.nic_bytes_per_s, Dimension::kBytesPerSecond)},
            {"node", Whole(a.node)},
            {"domain", Whole(a.domain)},
            {"power", WithUnit(a.watts, Dimension::kWatts)},
            {"node_power", WithUnit(a.node_watts, Dimension::kWatts)}},
           source));
  if (a.node_watts <= 0)
    a.node_watts = 1.8 * a.watts;  // what hosts and switches add in published nodes
  if (a.domain < a.node) a.domain = a.node;
  if (a.name.empty()) a.name = std::string(source);
  TRY(Validate(a));
  return a;
}

Result<int64_t> ParseDay(std::string_view text, std::string_view field) {
  int y = 0, m = 0, d = 0;
  const auto number = [&](size_t from, size_t length, int& into) {
    if (text.size() < from + length) return false;
    const char* first = text.data() + from;
    const auto [end, problem] = std::from_chars(first, first + length, into);
    return problem == std::errc() && end == first + length;
  };
  const bool shaped = text.size() == 10 && text[4] == '-' && text[7] == '-' && number(0, 4, y) &&
                      number(5, 2, m) && number(8, 2, d);
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
  if (!shaped || y < 1970 || m < 1 || m > 12 || d < 1 ||
      d > kDays[m - 1] + (m == 2 && leap ? 1 : 0))
    return Error(Code::kInvalidArgument, fmt::format("{}: \"{}\" is no date", field, text))
        .Hint("write it as 2027-03-01");
  // Days from civil, Hinnant 2013.
  const int yy = m <= 2 ? y - 1 : y;
  const int era = yy / 400;
  const int yoe = yy - era * 400;
  const int doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  const int doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return int64_t{era} * 146097 + doe - 719468;
}

std::string DayText(int64_t day) {
  const int64_t z = day + 719468;
  const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const int64_t doe = z - era * 146097;
  const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const int64_t mp = (5 * doy + 2) / 153;
  const int64_t d = doy - (153 * mp + 2) / 5 + 1;
  const int64_t m = mp < 10 ? mp + 3 : mp - 9;
  return fmt::format("{:04}-{:02}-{:02}", yoe + era * 400 + (m <= 2 ? 1 : 0), m, d);
}

}  // namespace weir::blueprint
