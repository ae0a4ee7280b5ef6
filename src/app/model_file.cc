// `weir model inspect` and `weir model export`: models as files, without a lab.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/commands.h"
#include "base/units.h"
#include "engine/model/export.h"
#include "engine/model/weights.h"

namespace weir::app {
namespace {

int Fail(std::string_view command, const Error& error) {
  fmt::print(stderr, "weir model {}: {}\n", command, error.ToString());
  return InfoOf(error.code()).exit_status;
}

nlohmann::ordered_json Describe(const model::Model& m) {
  const model::ModelConfig& c = m.config();
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const model::TensorView& t : m.tensors()) {
    tensors.push_back({{"name", t.name}, {"dtype", model::NameOf(t.type)}, {"shape", t.shape}});
  }
  return {{"name", m.name()},
          {"format", m.format()},
          {"parameters", ParameterCount(c)},
          {"weight_bytes", m.weight_bytes()},
          {"vocab_size", c.vocab_size},
          {"dim", c.dim},
          {"layers", c.layers},
          {"heads", c.heads},
          {"kv_heads", c.kv_heads},
          {"head_dim", c.head_dim},
          {"ffn_dim", c.ffn_dim},
          {"context", c.max_seq},
          {"rope_theta", c.rope_theta},
          {"tied_embeddings", c.tied_embeddings},
          {"tokens", m.tokenizer().vocab_size()},
          {"stop_tokens", m.tokenizer().stop_tokens()},
          {"tensors", std::move(tensors)}};
}

int Inspect(const std::string& path, bool json, bool tensors) {
  const auto loaded = model::Model::Load(path);
  if (!loaded) return Fail("inspect", loaded.error());
  const nlohmann::ordered_json all = Describe(**loaded);
  if (json) {
    fmt::print("{}\n", all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return 0;
  }
  for (const auto& [key, value] : all.items()) {
    if (key == "tensors") continue;
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (key == "parameters") text = HumanCount(value.get<double>());
    if (key == "weight_bytes") text = HumanBytes(value.get<int64_t>());
    fmt::print("{:<16} {}\n", key, text);
  }
  fmt::print("{:<16} {}\n", "tensors", all["tensors"].size());
  if (!tensors) return 0;
  for (const auto& t : all["tensors"]) {
    fmt::print("  {:<48} {:<5} {}\n", t["name"].get<std::string>(), t["dtype"].get<std::string>(),
               t["shape"].dump());
  }
  return 0;
}

int Export(const std::string& from, const std::string& gguf, const std::string& type) {
  std::optional<model::DType> wanted;
  for (const model::DType t :
       {model::DType::kF32, model::DType::kF16, model::DType::kBF16, model::DType::kQ8_0}) {
    std::string name(model::NameOf(t));
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    if (name == type) wanted = t;
  }
  const auto loaded = model::Model::Load(from);
  if (!loaded) return Fail("export", loaded.error());
  const Status written = model::ExportGguf(**loaded, gguf, wanted);
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
  command->add_option("--type", e->type, "Of the matrices: keep, f32, f16, bf16 or q8_0")
      ->capture_default_str()
      ->check(CLI::IsMember({"keep", "f32", "f16", "bf16", "q8_0"}));
  command->footer("Example:\n  weir model export ./checkpoint --gguf mine.gguf --type q8_0");
  command->callback([e, &exit_status] { exit_status = Export(e->path, e->gguf, e->type); });
}

}  // namespace weir::app
