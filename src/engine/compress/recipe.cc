#include "engine/compress/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/nearest.h"

namespace weir::compress {
namespace {

using enum kernels::DType;
using kernels::DType;
using model::Slot;

constexpr Recipe Plain(std::string_view name, uint32_t file_type, DType type,
                       std::string_view what) {
  return {name, file_type, type, type, type, type, type, type, type, what};
}

//   name, file_type, base, head, value, value elsewhere, down, down elsewhere, output
constexpr Recipe kRecipes[] = {
    Plain("F32", 0, kF32, "as trained"),
    Plain("F16", 1, kF16, "half the size; refuses values above 65504"),
    Plain("BF16", 32, kBF16, "half the size, the range of F32"),
    Plain("Q8_0", 7, kQ8_0, "a quarter; hardly told from the original"),
    {"Q6_K", 18, kQ6_K, kQ6_K, kQ6_K, kQ6_K, kQ6_K, kQ6_K, kQ6_K, "6.6 bits"},
    {"Q5_K_M", 17, kQ5_K, kQ6_K, kQ6_K, kQ5_K, kQ6_K, kQ5_K, kQ5_K, "5.7 bits"},
    {"Q5_K_S", 16, kQ5_K, kQ6_K, kQ5_K, kQ5_K, kQ5_K, kQ5_K, kQ5_K, "5.5 bits"},
    {"Q5_1", 9, kQ5_1, kQ6_K, kQ5_1, kQ5_1, kQ5_1, kQ5_1, kQ5_1, "6 bits, blocks of 32"},
    {"Q5_0", 8, kQ5_0, kQ6_K, kQ5_0, kQ5_0, kQ5_0, kQ5_0, kQ5_0, "5.5 bits, blocks of 32"},
    {"Q4_K_M", 15, kQ4_K, kQ6_K, kQ6_K, kQ4_K, kQ6_K, kQ4_K, kQ4_K, "4.8 bits; the usual choice"},
    {"Q4_K_S", 14, kQ4_K, kQ6_K, kQ5_K, kQ4_K, kQ5_K, kQ4_K, kQ4_K, "4.7 bits"},
    {"Q4_1", 3, kQ4_1, kQ6_K, kQ4_1, kQ4_1, kQ4_1, kQ4_1, kQ4_1, "5 bits, blocks of 32"},
    {"Q4_0", 2, kQ4_0, kQ6_K, kQ4_0, kQ4_0, kQ4_0, kQ4_0, kQ4_0, "4.5 bits; the fastest"},
    {"Q3_K_L", 13, kQ3_K, kQ6_K, kQ5_K, kQ5_K, kQ5_K, kQ5_K, kQ5_K, "4.3 bits"},
    {"Q3_K_M", 12, kQ3_K, kQ6_K, kQ5_K, kQ4_K, kQ5_K, kQ4_K, kQ4_K, "4 bits"},
    {"Q3_K_S", 11, kQ3_K, kQ6_K, kQ3_K, kQ3_K, kQ3_K, kQ3_K, kQ3_K, "3.5 bits"},
    {"Q2_K", 10, kQ2_K, kQ6_K, kQ4_K, kQ3_K, kQ3_K, kQ3_K, kQ3_K, "3 bits; a last resort"},
};

bool Matters(int layer, int layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

DType Fitting(DType type, int64_t columns) {
  if (columns % kernels::BlockElements(type) == 0) return type;
  if (columns % kernels::kSmallBlock != 0) return kF16;
  if (type == kQ6_K) return kQ8_0;
  return type == kQ5_K ? kQ5_1 : kQ5_0;
}

DType Wanted(const Recipe& recipe, const model::ModelConfig& config, const model::Place& place) {
  const bool matters = Matters(place.layer, config.layers);
  switch (place.slot) {
    case Slot::kHead:
      return recipe.head;
    case Slot::kEmbedding:
      return config.tied_embeddings ? recipe.head : recipe.base;
    case Slot::kV:
      return matters ? recipe.value : recipe.value_elsewhere;
    case Slot::kDown:
    case Slot::kExpertDown:
      return matters ? recipe.down : recipe.down_elsewhere;
    case Slot::kO:
      return recipe.output;
    default:
      return recipe.base;
  }
}

}  // namespace

std::span<const Recipe> Recipes() { return kRecipes; }

Result<const Recipe*> RecipeNamed(std::string_view name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (upper == "Q4_K" || upper == "Q5_K" || upper == "Q3_K") upper += "_M";
  std::string all;
  std::vector<std::string> names;
  for (const Recipe& recipe : kRecipes) {
    if (recipe.name == upper) return &recipe;
    names.emplace_back(recipe.name);
  }
  return Error(Code::kInvalidArgument, fmt::format("type \"{}\" is not known", name))
      .Hint(fmt::format("one of {}", fmt::join(names, ", ")));
}

DType TypeFor(const Recipe& recipe, const model::ModelConfig& config, const model::Place& place) {
  if (place.slot == Slot::kRouter) return kF32;
  return Fitting(Wanted(recipe, config, place), ColumnsOf(config, place.slot));
}

}  // namespace weir::compress
