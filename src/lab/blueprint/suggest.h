// The hint of an unknown name: the nearest names that are known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::blueprint {

// "did you mean a, b or c? `command` lists all; otherwise": the three nearest of `known`, fewer if
// the rest is far.
std::string Suggest(std::string_view name, const std::vector<std::string>& known,
                    std::string_view command, std::string_view otherwise);

// The canonical name of an accelerator as people write it: one of `also` as it stands, else that of
// a preset ("H100-80GB" -> "h100-sxm"). kNotFound with the nearest names.
Result<std::string> AcceleratorNamed(std::string_view name, const std::vector<std::string>& also);

}  // namespace weir::blueprint
