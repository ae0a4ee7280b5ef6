// Small random models as GGUF files, one of each architecture and some in every stored type: what
// bench/llama_cpp/greedy.mjs gives to both programs. Only what llama.cpp knows of a family: no
// windows where its readers see none, and the scales that they know by heart.
//
//   random_models FOLDER [SEED]
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "engine/compress/quantize.h"
#include "engine/compress/recipe.h"
#include "engine/model/architecture.h"
#include "engine/model/export.h"
#include "engine/model/random_model.h"
#include "io/files.h"

namespace {

using namespace weir;

Status Make(const std::string& folder, uint64_t seed) {
  for (const model::ArchitectureRow& row : model::Architectures()) {
    model::ModelConfig c = model::TinyConfig(row.id, 256);
    c.ffn_dim = 512;
    c.head_dim = 64;
    c.layers = 7;  // one of which is global, of six, in Gemma 3
    c.query_scalar = 0;
    c.global_every = row.global_every;
    if (row.sliding != model::Sliding::kPeriodic) c.sliding_window = c.sliding_from = 0;
    if (c.rope_theta_local > 0) c.rope_theta_local = 10000.0f;
    if (c.experts > 0) {
      c.expert_ffn_dim = row.id == model::Architecture::kMixtral ? c.ffn_dim : 256;
    }
    if (row.id == model::Architecture::kLlama) {
      c.rope = {.kind = model::RopeKind::kLlama3, .factor = 8, .original_seq = 64};
    }
    const io::TempDir dir = TRY(io::TempDir::Create());
    TRY(model::WriteRandomModel(dir.path(), c, seed));
    const auto files = TRY(model::ModelFiles::Open(dir.path()));
    const bool every = row.id == model::Architecture::kLlama;
    for (const compress::Recipe& recipe : compress::Recipes()) {
      if (!every && recipe.name != "F32" && recipe.name != "Q8_0" && recipe.name != "Q4_K_M")
        continue;
      const std::string out = fmt::format("{}/{}-{}.gguf", folder, row.name, recipe.name);
      TRY(compress::Quantize(*files, out, {.recipe = &recipe}, nullptr));
      fmt::print("{}\n", out);
    }
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: random_models FOLDER [SEED]\n");
    return 2;
  }
  std::filesystem::create_directories(argv[1]);
  const Status made = Make(argv[1], argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 1);
  if (made) return 0;
  fmt::print(stderr, "random_models: {}\n", made.error().ToString());
  return 1;
}
