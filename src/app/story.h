// The first story: what an empty lab does so that its owner sees everything work, with no download
// and no account. It is a pipeline like any other (wire::Pipeline), made from the story.* options.
#pragma once

#include <string>

#include "app/config.h"
#include "wire/lab.h"

namespace weir::app {

struct Story {
  wire::Team research;  // holds everything but product's floor
  wire::Team product;
  wire::Pipeline pipeline;
};

// `program` is the path of this binary, `data` the lab's data folder, `slots` those of its site.
Story MakeStory(const Config& config, const std::string& program, const std::string& data,
                int64_t slots);

}  // namespace weir::app
