// The hint of an unknown name: the nearest names that are known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weir::blueprint {

// "did you mean a, b or c? `command` lists all; otherwise": the three nearest of `known`, fewer if
// the rest is far.
std::string Suggest(std::string_view name, const std::vector<std::string>& known,
                    std::string_view command, std::string_view otherwise);

}  // namespace weir::blueprint
