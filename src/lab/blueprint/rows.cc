#include "lab/blueprint/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/csv.h"
#include "lab/blueprint/collectives.h"

namespace weir::blueprint {

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kMaxCount = 1e7;         // accelerators, degrees, nodes: beyond it is a slip
constexpr double kMaxDegree = 4096;       // of a serving group
constexpr double kGptVocabulary = 51200;  // GPT-2's, padded: what these programs train with

ModelShape GptShape(std::string name, double hidden, double layers, double heads, double vocab) {
  ModelShape m;
  m.name = std::move(name);
  m.hidden = hidden;
  m.vocab = vocab;
  m.tied_embeddings = true;
  m.biases = true;
  m.blocks = m.attention_layers = m.ffn_layers = layers;
  m.heads = m.kv_heads = heads;
  m.head_dim = hidden / heads;
  m.ffn = 4 * hidden;
  m.gated_ffn = false;
  return m;
}

Result<int> Count(const CsvTable& t, size_t i, std::string_view column, int otherwise = -1) {
  const std::optional<double> v = TRY(t.Number(i, column));
  if (!v) {
    if (otherwise >= 0) return otherwise;
    return Error(Code::kInvalidArgument, fmt::format("line {}: {} is missing", t.Line(i), column));
  }
  if (*v < 0 || *v > kMaxCount || *v != std::floor(*v))
    return Error(Code::kInvalidArgument,
                 fmt::format("line {}: {} is {}; a whole number is needed", t.Line(i), column, *v));
  return static_cast<int>(*v);
}

Result<Row> VtrainRow(const CsvTable& t, size_t i, const Accelerator& a100) {
  Row r;
  const bool multi = t.Has("params_b");
  r.table = multi ? "vtrain-multi" : "vtrain-single";
  r.accelerator = a100;
  r.keys = {"megatron-lm", a100.name, ""};
  const double hidden = TRY(t.Positive(i, "hidden"))
  , layers = TRY(t.Positive(i, "layers"));
  const double heads = TRY(t.Positive(i, "heads"));
  r.model =
      multi ? fmt::format("{}B", t.Cell(i, "params_b")) : fmt::format("h{} L{}", hidden, layers);
  r.shape = GptShape(r.model, hidden, layers, heads, kGptVocabulary);
  TRY(Validate(r.shape));
  r.layout.tp = TRY(Count(t, i, "tp"));
  r.layout.pp = TRY(Count(t, i, "pp"));
  r.layout.dp = TRY(Count(t, i, "dp"));
  r.layout.micro_batch = TRY(Count(t, i, "mbs"));
  r.layout.sequence_parallel = false;
  r.layout.zero = 0;
  // The table does not say; the large models fit in no other way.
  r.layout.recompute = multi ? Recompute::kFull : Recompute::kNone;
  r.accelerators = std::max(1, TRY(Count(t, i, "gpus")));
  r.train_work = { TRY(t.Positive(i, "seq")), TRY(t.Positive(i, "gbs")), false, false };
  r.measured = {{"step time", TRY(t.Positive(i, "iter_ms")) / 1e3}};
  return r;
}

Result<Row> CalculonRow(const CsvTable& t, size_t i, const Accelerator& a100) {
  Row r;
  r.table = "calculon";
  r.accelerator = a100;
  r.keys = {"megatron-lm", a100.name, ""};
  const std::string kind = t.Cell(i, "kind"), mode = t.Cell(i, "recompute");
  r.model = t.Cell(i, "model");
  const bool time = kind == "iter_s";
  if (!time && kind != "par_opt_GiB" && kind != "act_GiB" && kind != "act_pct")
    return Error(
        Code::kInvalidArgument,
        fmt::format("line {}: kind \"{}\" is none of iter_s, par_opt_GiB, act_GiB, act_pct",
                    t.Line(i), kind));
  r.shape = GptShape(r.model, TRY(t.Positive(i, "hidden")), TRY(t.Positive(i, "layers")),
                     TRY(t.Positive(i, "heads")), kGptVocabulary);
  r.shape.ffn = TRY(t.Positive(i, "ffn"));
  TRY(Validate(r.shape));
  r.layout.tp = TRY(Count(t, i, "tp"));
  r.layout.pp = TRY(Count(t, i, "pp"));
  r.layout.dp = TRY(Count(t, i, "dp"));
  r.layout.interleave = TRY(Count(t, i, "interleave"));
  r.layout.micro_batch = TRY(Count(t, i, "mbs"));
  r.layout.zero = 0;
  r.layout.sequence_parallel = t.Cell(i, "tp_comm") == "rs_ag";
  r.layout.recompute = mode == "full"        ? Recompute::kFull
                       : mode == "attn_only" ? Recompute::kSelective
                                             : Recompute::kNone;
  r.accelerators = TRY(t.Positive(i, "procs"));
  r.train_work = { TRY(t.Positive(i, "seq")), TRY(t.Positive(i, "gbs")), false, false };
  const double value = TRY(t.Positive(i, "measured"));
  r.release = t.Cell(i, "mode");
  if (time) {
    r.measured = {{"step time", value}};
  } else {
    r.kind = RowKind::kTrainingMemory;
    r.memory_kind = kind;
    r.measured = {{"memory", kind == "act_pct" ? value : value * kGiB}};
  }
  return r;
}

Result<Row> BridgeRow(const CsvTable& t, size_t i) {
  Row r;
  r.table = "bridge";
  r.model = t.Cell(i, "model");
  r.system = t.Cell(i, "system");
  r.release = t.Cell(i, "release");
  r.shape = TRY(FindModel(r.model));
  r.accelerator = TRY(FindAccelerator(r.system));
  r.keys = {"megatron-bridge", r.accelerator.name, r.release};
  Layout& l = r.layout;
  l.precision = TRY(ParsePrecision(t.Cell(i, "precision")));
  l.tp = TRY(Count(t, i, "tp", 1));
  l.pp = TRY(Count(t, i, "pp", 1));
  l.cp = TRY(Count(t, i, "cp", 1));
  l.interleave = l.pp > 1 ? std::max(1, TRY(Count(t, i, "vp", 1))) : 1;
  l.ep = r.shape.has_experts() ? std::max(1, TRY(Count(t, i, "ep", 1))) : 1;
  l.micro_batch = TRY(Count(t, i, "mbs"));
  r.accelerators = std::max(1, TRY(Count(t, i, "gpus")));
  const double spread = static_cast<double>(l.tp) * l.pp * l.cp;
  if (spread < 1 || std::fmod(r.accelerators, spread) != 0)
    return Error(Code::kInvalidArgument,
                 fmt::format("line {}: tp x pp x cp = {} does not divide {} gpus", t.Line(i),
                             spread, r.accelerators));
  l.dp = static_cast<int>(r.accelerators / spread);
  l.zero = TRY(Count(t, i, "fsdp", 0))
  > 1 ? 3 : 1;
  const std::string phase = t.Cell(i, "phase");
  r.train_work = { TRY(t.Positive(i, "seq")), TRY(t.Positive(i, "gbs")), true, phase == "LoRA" };
  const double rate = TRY(t.Positive(i, "tok_s_gpu"));
  r.measured = {
      {"step time", r.train_work.global_batch * r.train_work.sequence / r.accelerators / rate}};
  return r;
}

// The tables write a group in two ways: members by tensor and attention copies, or with the expert
// degree multiplied into one of them. What is left is a group that one host or rack can hold.
ServeGroup Group(double tp, double copies, double ep, int host, bool stated) {
  tp = std::min(tp, kMaxDegree);
  copies = std::min(copies, kMaxDegree);
  ep = std::min(ep, kMaxDegree);
  if (stated && ep > 1 && tp == 1)
    host = std::max(host, static_cast<int>(copies));  // wide, as written
  if (tp > 1 && copies > 1 && tp == copies) tp = 1;   // "tp 4, dp 4" is four, with attention copied
  const bool folded = ep > 1 && tp * copies > host && std::fmod(std::max(tp, copies), ep) == 0;
  if (folded && tp >= copies)
    tp /= ep;
  else if (folded)
    copies /= ep;
  ServeGroup g;
  if (ep <= 1 && copies <= 1 && tp > host) {  // nobody cuts attention 72-fold: copies
    copies = tp;
    ep = tp;
    tp = 1;
  }
  g.tp = std::max(1, static_cast<int>(tp));
  g.attention_dp = std::max(1, static_cast<int>(copies));
  g.ep = std::clamp(static_cast<int>(ep), 1, g.accelerators());
  if (g.accelerators() % g.ep != 0) g.ep = g.accelerators();
  return g;
}

Result<Row> ServingRow(const CsvTable& t, size_t i) {
  Row r;
  r.kind = RowKind::kServing;
  r.table = "serving";
  r.model = t.Cell(i, "model_path");
  r.system = t.Cell(i, "system");
  const std::string engine = t.Cell(i, "backend"), version = t.Cell(i, "backend_version"),
                    mode = t.Cell(i, "mode");
  r.release = version.empty() ? engine : engine + " " + version;
  r.shape = TRY(FindModel(r.model));
  r.accelerator = TRY(FindAccelerator(r.system));
  r.keys = {engine, r.accelerator.name, version};
  r.serve_layout.precision = TRY(ParsePrecision(t.Cell(i, "precision")));
  if (mode != "agg" && mode != "disagg")
    return Error(Code::kInvalidArgument,
                 fmt::format("line {}: mode \"{}\" is neither agg nor disagg", t.Line(i), mode));
  const auto number = [&](std::string_view column, double otherwise) -> Result<double> {
    const std::optional<double> v = TRY(t.Number(i, column));
    return v && *v > 0 ? std::min(*v, kMaxCount) : otherwise;
  };
  // Eight in a host, also where a rack joins more: what these deployments cut attention over.
  const int host = 8;
  const double concurrency = TRY(number("concurrency", 0));
  if (mode == "agg") {
    r.serve_layout.decode = Group(TRY(number("tp_size", 1)), TRY(number("attention_dp_size", 1)),
                                  TRY(number("moe_ep_size", 1)), host, false);
    r.serve_work.concurrency = concurrency > 0 ? concurrency : TRY(number("batch_size", 1))
    *r.serve_layout.decode.attention_dp;
  } else {
    ServeLayout& l = r.serve_layout;
    l.disaggregated = true;
    r.stated = TRY(t.Number(i, "decode_num_workers"))
    .has_value() && TRY(t.Number(i, "prefill_num_workers"))
    .has_value();
    l.decode = Group(TRY(number("decode_tp_size", 1)), TRY(number("decode_attention_dp_size", 1)),
                     TRY(number("decode_moe_ep_size", 1)), host, r.stated);
    l.prefill =
        Group(TRY(number("prefill_tp_size", 1)), TRY(number("prefill_attention_dp_size", 1)),
              TRY(number("prefill_moe_ep_size", 1)), host, r.stated);
    l.workers = TRY(number("decode_num_workers", 1));
    l.prefill_workers = TRY(number("prefill_num_workers", 1));
    r.serve_work.concurrency = concurrency > 0 ? concurrency : TRY(number("decode_batch_size", 1))
    *l.workers* l.decode.attention_dp;
  }
  r.serve_work.input = TRY(t.Positive(i, "isl"));
  r.serve_work.output = TRY(t.Positive(i, "osl"));
  r.accelerators = r.serve_layout.accelerators();
  r.measured = {{"TTFT", TRY(t.Positive(i, "silicon_ttft_ms")) / 1e3},
                {"TPOT", TRY(t.Positive(i, "silicon_tpot_ms")) / 1e3}};
  return r;
}

Result<Row> AllReduceRow(const CsvTable& t, size_t i) {
  Row r;
  r.kind = RowKind::kAllReduce;
  r.table = "all-reduce";
  r.system = t.Cell(i, "gpu");
  r.accelerator = TRY(FindAccelerator(r.system));
  r.keys = {"", r.accelerator.name, ""};
  r.ranks = TRY(Count(t, i, "ranks"));
  r.bytes = TRY(t.Positive(i, "bytes"));
  r.model = fmt::format("{} ranks", r.ranks);
  r.measured = {{"all-reduce", TRY(t.Positive(i, "oop_time_ns")) / 1e9}};
  return r;
}

Result<Row> NetworkRow(const CsvTable& t, size_t i) {
  Row r;
  r.kind = RowKind::kNetwork;
  r.table = "network";
  r.model = t.Cell(i, "ref_arch");
  const int nodes = TRY(Count(t, i, "nodes"))
  , gpus = TRY(Count(t, i, "gpus"));
  if (nodes < 1 || gpus < nodes || gpus % nodes != 0)
    return Error(Code::kInvalidArgument,
                 fmt::format("line {}: {} gpus in {} nodes is no whole number each", t.Line(i),
                             gpus, nodes));
  r.fabric.nodes = nodes;
  r.fabric.nics = gpus / nodes;
  // The switches of these designs: 64 ports at 400 Gbit/s (NDR), 144 at 800 (XDR), and Ethernet
  // with 64 ports of 800 that split into four.
  const std::string& name = r.model;
  if (name.ends_with("XDR")) {
    r.fabric.radix = 144;
    r.fabric.gbit_per_s = 800;
  } else if (name.ends_with("Eth")) {
    r.fabric.breakout = 4;
    r.fabric.gbit_per_s = 800;
  } else if (!name.ends_with("NDR")) {
    return Error(
        Code::kNotFound,
        fmt::format("reference design \"{}\" is not known (it should end in NDR, XDR or Eth)",
                    name));
  }
  r.system = name;
  for (const auto& [column, quantity] : {std::pair{"leaf", "leaf switches"},
                                         {"spine", "spine switches"},
                                         {"core", "core switches"},
                                         {"node_leaf_cables", "node cables"},
                                         {"leaf_spine_cables", "spine cables"},
                                         {"spine_core_cables", "core cables"}}) {
    r.measured.push_back({
      quantity, TRY(t.Number(i, column))
      .value_or(0)
    });
  }
  return r;
}

std::string ConfigOf(const Row& r) {
  switch (r.kind) {
    case RowKind::kTraining:
      return fmt::format("{} gpus, {}, batch {}, sequence {}{}", r.accelerators, Describe(r.layout),
                         r.train_work.global_batch, r.train_work.sequence,
                         r.train_work.adapters ? ", LoRA" : "");
    case RowKind::kTrainingMemory:
      return fmt::format("{}, {}", r.memory_kind, Describe(r.layout));
    case RowKind::kServing:
      return fmt::format("{}, {}/{} tokens, {} concurrent", Describe(r.serve_layout),
                         r.serve_work.input, r.serve_work.output, r.serve_work.concurrency);
    case RowKind::kAllReduce:
      return fmt::format("{} ranks, {} bytes", r.ranks, r.bytes);
    case RowKind::kNetwork:
      return fmt::format("{} nodes x {} NICs, radix {}", r.fabric.nodes, r.fabric.nics,
                         r.fabric.radix);
  }
  return "";
}

}  // namespace

std::string Signature(const Row& r) {
  return fmt::format("{}|{}|{}|{}|{}|{}", r.table, r.shape.name, r.accelerator.name, r.keys.engine,
                     r.release, r.config);
}

Result<RowTable> ReadRows(std::string_view text, std::string_view source) {
  const auto parsed = CsvTable::Parse(text);
  if (!parsed) return Error(parsed.error()).In(source);
  const CsvTable& t = *parsed;
  Result<Row> (*read)(const CsvTable&, size_t) = nullptr;
  static const Accelerator a100 = *FindAccelerator("a100-sxm");
  if (t.Has("tok_s_gpu") && t.Has("model"))
    read = BridgeRow;
  else if (t.Has("iter_ms") && t.Has("hidden"))
    read = [](const CsvTable& table, size_t i) { return VtrainRow(table, i, a100); };
  else if (t.Has("measured") && t.Has("tp_comm"))
    read = [](const CsvTable& table, size_t i) { return CalculonRow(table, i, a100); };
  else if (t.Has("silicon_tpot_ms"))
    read = ServingRow;
  else if (t.Has("oop_time_ns"))
    read = AllReduceRow;
  else if (t.Has("ref_arch"))
    read = NetworkRow;
  if (read == nullptr) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: none of the known tables has these columns", source))
        .Hint(
            "training needs iter_ms, tok_s_gpu or measured + tp_comm; serving silicon_tpot_ms; "
            "network ref_arch; all-reduce oop_time_ns");
  }
  RowTable out;
  for (size_t i = 0; i < t.size(); ++i) {
    Result<Row> row = read(t, i);
    if (!row) {
      // A number that cannot be is an error of the file; a name that is not known is not.
      if (row.error().code() != Code::kNotFound) return std::move(row).error().In(source);
      out.skipped.push_back({t.Line(i), row.error().ToString()});
      continue;
    }
    row->line = t.Line(i);
    if (row->system.empty()) row->system = row->accelerator.name;
    row->config = ConfigOf(*row);
    if (out.table.empty()) out.table = row->table;
    out.rows.push_back(std::move(*row));
  }
  return out;
}

std::vector<double> PredictRow(const Row& r, const Coefficients& c) {
  switch (r.kind) {
    case RowKind::kTraining: {
      const TrainingModel model(r.shape, r.accelerator, 1, r.train_work, c);
      return {model.Predict(r.layout).step_s};
    }
    case RowKind::kTrainingMemory: {
      const TrainingModel model(r.shape, r.accelerator, 1, r.train_work, c);
      const MemoryUse use = model.Memory(r.layout);
      if (r.memory_kind == "act_GiB") return {use.activations};
      if (r.memory_kind == "act_pct") {
        Layout plain = r.layout;
        plain.recompute = Recompute::kNone;
        plain.sequence_parallel = false;
        return {100 * use.activations / model.Memory(plain).activations};
      }
      // The table counts the blocks only.
      const ParameterCounts& p = model.counts();
      const double blocks = (p.blocks_dense() + p.norms) / r.layout.tp / r.layout.pp;
      return {blocks * 18};
    }
    case RowKind::kServing: {
      const ServePrediction p =
          ServingModel(r.shape, r.accelerator, c).Predict(r.serve_layout, r.serve_work);
      return {p.ttft_s, p.tpot_s};
    }
    case RowKind::kAllReduce:
      return {AllReduceSeconds(r.accelerator, r.ranks, r.bytes, c)};
    case RowKind::kNetwork: {
      const Result<Fabric> f = DesignFabric(r.fabric);
      if (!f) return std::vector<double>(r.measured.size(), 0);
      return {double(f->leaves),      double(f->spines),       double(f->cores),
              double(f->node_cables), double(f->spine_cables), double(f->core_cables)};
    }
  }
  return {};
}

}  // namespace weir::blueprint
