#include "engine/compress/quantize.h"

#include <fmt/format.h>

#include "engine/model/export.h"
#include "io/files.h"

namespace weir::compress {

Status Quantize(const model::ModelFiles& files, const std::string& out,
                const QuantizeOptions& options, kernels::ThreadPool* pool) {
  if (io::FileExists(out)) {
    return Error(Code::kAlreadyExists, fmt::format("{} exists", out))
        .Hint("give another name, or remove it first");
  }
  model::ExportPlan plan;
  plan.type = [&](const model::Place& place) {
    return TypeFor(*options.recipe, files.config(), place);
  };
  if (options.importance != nullptr) {
    plan.importance = [&](const model::Place& place) { return options.importance->Of(place); };
  }
  plan.file_type = options.recipe->file_type;
  plan.on_tensor = options.on_tensor;
  return ExportGguf(files, out, plan, pool);
}

}  // namespace weir::compress
