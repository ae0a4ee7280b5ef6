#include "app/story.h"

#include <algorithm>

namespace weir::app {

Story MakeStory(const Config& config, const std::string& program, const std::string& data,
                int64_t slots) {
  const int64_t floor = std::min(config.Integer("story.product_floor"), slots);
  const int64_t research_slots = std::max<int64_t>(slots - floor, 1);
  const int64_t asked = config.Integer("story.max_workers");
  const int64_t workers = asked == 0 ? research_slots : std::min(asked, research_slots);

  Story story;
  story.research.name = "research";
  story.research.team_class = wire::TeamClass::kResearch;
  story.research.guarantee_slots = slots - floor;
  story.product.name = "product";
  story.product.team_class = wire::TeamClass::kProduct;
  story.product.guarantee_slots = floor;

  wire::Pipeline& p = story.pipeline;
  p.name = "story";
  p.dataset = "story-text";
  p.dataset_path = data + "/datasets/story-text";
  p.model = "story";
  p.gate_share_of_uniform = config.Number("story.gate");
  p.improve_by = config.Number("story.improve_by");

  wire::JobSpec build;
  build.name = "story-text";
  build.team = "research";
  build.command = {program,
                   "dataset",
                   "build",
                   "--out",
                   p.dataset_path,
                   "--max-bytes",
                   std::to_string(config.Bytes("story.max_text"))};
  for (const std::string& path : config.List("story.text")) {
    build.command.push_back("--text");
    build.command.push_back(path);
  }
  p.build = std::move(build);

  wire::JobSpec train;
  train.name = "story-train";
  train.team = "research";
  train.command = {program,
                   "train",
                   "--dataset",
                   p.dataset_path,
                   "--preset",
                   config.String("story.preset"),
                   "--steps",
                   config.String("story.steps"),
                   "--max-time",
                   config.String("story.train_time"),
                   "--checkpoint-interval",
                   config.String("story.checkpoint_interval")};
  train.min_slots = 1;
  train.max_slots = workers;
  train.checkpointable = true;
  train.checkpoint_interval = config.Span("story.checkpoint_interval");
  p.train = std::move(train);

  wire::ServiceSpec service;
  service.name = "story";
  service.team = "product";
  service.model = p.model;
  service.min_replicas = 1;
  service.max_replicas = std::max<int64_t>(slots - 1, 1);
  service.follow = true;
  p.service = std::move(service);
  return story;
}

}  // namespace weir::app
