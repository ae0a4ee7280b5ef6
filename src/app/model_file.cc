// `weir model inspect` and `weir model export`: models as files, without a lab.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/commands.h"
#include "app/table.h"
#include "base/units.h"
#include "engine/kernels/attend.h"
#include "engine/model/architecture.h"
#include "engine/model/export.h"
#include "engine/model/model_files.h"

namespace weir::app {
namespace {

using Json = nlohmann::ordered_json;

int Fail(std::string_view command, const Error& error) {
  fmt::print(stderr, "weir model {}: {}\n", command, error.ToString());
  return InfoOf(error.code()).exit_status;
}

std::string_view NameOf(model::RopeKind kind) {
  constexpr std::string_view kNames[] = {"plain", "linear", "dynamic",
                                         "yarn",  "llama3", "longrope"};
  return kNames[static_cast<size_t>(kind)];
}

int64_t KvBytes(const model::ModelConfig& c, kernels::KvType type) {
  return c.layers * kernels::KvBytesPerToken({type, c.kv_heads, c.head_dim});
}

// The shortest decimal that reads back as the same float, not the 17 digits of its double.
Json Short(float x) { return Json::parse(fmt::format("{}", x)); }

Json Shape(const model::ModelConfig& c) {
  Json json = {{"vocab_size", c.vocab_size},
               {"dim", c.dim},
               {"layers", c.layers},
               {"heads", c.heads},
               {"kv_heads", c.kv_heads},
               {"head_dim", c.head_dim},
               {"ffn_dim", c.ffn_dim},
               {"context", c.max_seq},
               {"norm_eps", Short(c.norm_eps)},
               {"tied_embeddings", c.tied_embeddings}};
  if (c.experts > 0) {
    json["experts"] = c.experts;
    json["experts_used"] = c.experts_used;
    json["expert_ffn_dim"] = c.expert_ffn_dim;
  }
  if (c.sliding_window > 0) {
    json["sliding_window"] = c.sliding_window;
    int sliding = 0;
    for (int layer = 0; layer < c.layers; ++layer) sliding += c.IsSliding(layer);
    json["sliding_layers"] = sliding;
  }
  json["rope_theta"] = Short(c.rope_theta);
  if (c.rope_theta_local > 0) json["rope_theta_local"] = Short(c.rope_theta_local);
  if (c.rope.kind != model::RopeKind::kPlain) {
    json["rope_scaling"] = NameOf(c.rope.kind);
    if (c.rope.kind != model::RopeKind::kLongRope) json["rope_factor"] = Short(c.rope.factor);
  }
  if (c.attention_softcap > 0) json["attention_softcap"] = Short(c.attention_softcap);
  if (c.logit_softcap > 0) json["logit_softcap"] = Short(c.logit_softcap);
  return json;
}

struct OfType {
  int64_t tensors = 0, elements = 0, bytes = 0;
};
std::map<model::DType, OfType> ByType(const model::ModelFiles& m) {
  std::map<model::DType, OfType> types;
  for (const model::TensorView& t : m.tensors()) {
    OfType& type = types[t.type];
    ++type.tensors;
    type.elements += t.elements();
    type.bytes += static_cast<int64_t>(t.data.size());
  }
  return types;
}

Json Describe(const model::ModelFiles& m) {
  const model::ModelConfig& c = m.config();
  const auto parameters = ParameterCount(c);
  Json json = {{"name", m.name()},
               {"format", m.gguf() != nullptr ? "gguf" : "safetensors"},
               {"architecture", RowOf(c.architecture).name},
               {"parameters", parameters}};
  if (c.experts > 0) json["active_parameters"] = ActiveParameterCount(c);
  json["weight_bytes"] = m.weight_bytes();
  json["bits_per_weight"] =
      8.0 * static_cast<double>(m.weight_bytes()) / static_cast<double>(parameters);
  json["shape"] = Shape(c);
  json["kv_bytes_per_token"] = {{"f32", KvBytes(c, kernels::KvType::kF32)},
                                {"f16", KvBytes(c, kernels::KvType::kF16)},
                                {"int8", KvBytes(c, kernels::KvType::kInt8)}};
  const auto id = [](const std::optional<int32_t>& token) { return token ? Json(*token) : Json(); };
  json["tokenizer"] = {{"tokens", m.tokenizer().vocab_size()},
                       {"bos", id(m.tokenizer().bos())},
                       {"eos", id(m.tokenizer().eos())},
                       {"adds_bos", m.tokenizer().add_bos()},
                       {"stop_tokens", m.tokenizer().stop_tokens()}};
  json["chat_template"] = m.chat_template().empty() ? Json() : Json(m.chat_template());
  Json types = Json::object();
  for (const auto& [type, of] : ByType(m)) {
    types[std::string(model::NameOf(type))] = {{"tensors", of.tensors}, {"bytes", of.bytes}};
  }
  json["types"] = std::move(types);
  Json tensors = Json::array();
  for (const model::TensorView& t : m.tensors()) {
    tensors.push_back({{"name", t.name}, {"dtype", model::NameOf(t.type)}, {"shape", t.shape}});
  }
  json["tensors"] = std::move(tensors);
  return json;
}

void PrintDescription(const model::ModelFiles& m, const Json& all, bool tensors) {
  const auto line = [](std::string_view key, std::string_view value) {
    fmt::print("{:<20} {}\n", key, value);
  };
  for (const char* key : {"name", "format", "architecture"}) line(key, all[key].get<std::string>());
  for (const char* key : {"parameters", "active_parameters"}) {
    if (all.contains(key)) line(key, HumanCount(all[key].get<double>()));
  }
  line("weights", fmt::format("{}, {:.2f} bits each", HumanBytes(m.weight_bytes()),
                              all["bits_per_weight"].get<double>()));
  for (const auto& [key, value] : all["shape"].items()) {
    line(key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  const Json& kv = all["kv_bytes_per_token"];
  line("kv bytes per token", fmt::format("{} (f32), {} (f16), {} (int8)", kv["f32"].get<int64_t>(),
                                         kv["f16"].get<int64_t>(), kv["int8"].get<int64_t>()));
  const Json& tokenizer = all["tokenizer"];
  line("tokens", tokenizer["tokens"].dump());
  line("stop tokens", tokenizer["stop_tokens"].dump());
  line("chat template",
       m.chat_template().empty() ? "none" : fmt::format("{} characters", m.chat_template().size()));
  Table types({"TYPE", ">TENSORS", ">BYTES", ">BITS"});
  for (const auto& [type, of] : ByType(m)) {
    types.Add({std::string(model::NameOf(type)), std::to_string(of.tensors), HumanBytes(of.bytes),
               fmt::format("{:.2f}", 8.0 * static_cast<double>(of.bytes) /
                                         static_cast<double>(std::max<int64_t>(1, of.elements)))});
  }
  fmt::print("{}", types.Print(Style::For()));
  if (!tensors) return;
  for (const model::TensorView& t : m.tensors()) {
    fmt::print("  {:<48} {:<5} [{}]\n", t.name, model::NameOf(t.type), fmt::join(t.shape, ", "));
  }
}

int Inspect(const std::string& path, bool json, bool tensors) {
  const auto files = model::ModelFiles::Open(path);
  if (!files) return Fail("inspect", files.error());
  const Json all = Describe(**files);
  if (json) {
    fmt::print("{}\n", all.dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    PrintDescription(**files, all, tensors);
  }
  return 0;
}

int Export(const std::string& from, const std::string& gguf, const std::string& type) {
  const auto files = model::ModelFiles::Open(from);
  if (!files) return Fail("export", files.error());
  const Status written = model::ExportGguf(**files, gguf, kernels::DTypeNamed(type));
  if (!written) return Fail("export", written.error());
  fmt::print("{}\n", gguf);
  return 0;
}

}  // namespace

void AddModelFileCommands(CLI::App& model, int& exit_status) {
  CLI::App* inspect = model.add_subcommand("inspect", "Show what a model folder or file holds");
  struct InspectFlags {
    std::string path;
    bool json = false, tensors = false;
  };
  auto i = std::make_shared<InspectFlags>();
  inspect->add_option("model", i->path, "A model folder or a .gguf file")->required();
  inspect->add_flag("--json", i->json, "Everything, as JSON");
  inspect->add_flag("--tensors", i->tensors, "List the tensors");
  inspect->callback([i, &exit_status] { exit_status = Inspect(i->path, i->json, i->tensors); });

  CLI::App* command = model.add_subcommand("export", "Write a model in another format");
  struct ExportFlags {
    std::string path, gguf, type = "keep";
  };
  auto e = std::make_shared<ExportFlags>();
  command->add_option("model", e->path, "A model folder or a .gguf file")->required();
  command->add_option("--gguf", e->gguf, "The GGUF file to write")->required();
  command
      ->add_option("--type", e->type,
                   "Of the matrices: keep, f32, f16, bf16 or q8_0; smaller: weir model quantize")
      ->capture_default_str()
      ->check(CLI::IsMember({"keep", "f32", "f16", "bf16", "q8_0"}));
  command->footer("Example:\n  weir model export ./checkpoint --gguf mine.gguf --type q8_0");
  command->callback([e, &exit_status] { exit_status = Export(e->path, e->gguf, e->type); });
}

}  // namespace weir::app
