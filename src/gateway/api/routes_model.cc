// Datasets, model versions, rollouts, pipelines.
#include "gateway/api/find.h"
#include "gateway/api/tables.h"
#include "gateway/api/typed.h"

namespace weir::gateway {

using guard::Action;

void AddModelRoutes(std::vector<Route>& all) {
  all.push_back(Lists<wire::Dataset>(
      {.method = "GET",
       .path = "/api/v1/datasets",
       .operation_id = "listDatasets",
       .summary = "Every dataset",
       .action = Action::kSeeLab},
      "Dataset",
      [](Call& call) -> Result<std::vector<wire::Dataset>> { return call.View().datasets; }));
  all.push_back(Takes<wire::Dataset, wire::Dataset>(
      {.method = "POST",
       .path = "/api/v1/datasets",
       .operation_id = "addDataset",
       .summary = "Register a dataset that lies in a folder of the lab's machine",
       .action = Action::kAddData,
       .example = {{"id", "ds-0123456789ab"},
                   {"name", "docs"},
                   {"sha256", "0123456789ab"},
                   {"path", "/data/docs"},
                   {"bytes", 1234},
                   {"report", wire::Json::object()}},
       .status = 201},
      "Dataset", "Dataset", [](Call& call, wire::Dataset dataset) -> Result<wire::Dataset> {
        dataset.created_by = call.who.name;
        dataset.created = call.now;
        return call.lab().AddDataset(dataset, call.actor());
      }));
  all.push_back(Gives<wire::Dataset>({.method = "GET",
                                      .path = "/api/v1/datasets/{dataset}",
                                      .operation_id = "getDataset",
                                      .summary = "One dataset: what was taken, what was dropped",
                                      .action = Action::kSeeLab},
                                     "Dataset", [](Call& call) -> Result<wire::Dataset> {
                                       return *TRY(FindDataset(call.View(), call.Path("dataset")));
                                     }));
  all.push_back(Lists<wire::ModelVersion>(
      {.method = "GET",
       .path = "/api/v1/models",
       .operation_id = "listModels",
       .summary = "Every model version, oldest first",
       .action = Action::kSeeLab,
       .query = {{.name = "model", .doc = "only versions of this model"}}},
      "ModelVersion", [](Call& call) -> Result<std::vector<wire::ModelVersion>> {
        std::vector<wire::ModelVersion> models = call.View().models;
        if (const auto model = call.query.Text("model"))
          std::erase_if(models, [&](const auto& m) { return m.model != *model; });
        return models;
      }));
  // Its number and id are the lab's to give: the schema asks for an id, so it is taken and ignored.
  wire::Json version_schema = wire::SchemaOf<wire::ModelVersion>();
  version_schema["required"] = {"model", "path"};
  Route add = Gives<wire::ModelVersion>(
      {.method = "POST",
       .path = "/api/v1/models",
       .operation_id = "addModelVersion",
       .summary = "Register a folder as the next version of a model; its number and id are given",
       .action = Action::kAddData,
       .request_type = "NewModelVersion",
       .request_schema = std::move(version_schema),
       .example = {{"model", "weir-tiny"}, {"path", "/data/models/weir-tiny"}},
       .status = 201},
      "ModelVersion", [](Call& call) -> Result<wire::ModelVersion> {
        wire::Json json = TRY(wire::ParseJson(call.body));
        if (json.is_object() && !json.contains("id")) json["id"] = "";
        const auto version = TRY(wire::FromJson<wire::ModelVersion>(json));
        if (version.path.empty()) {
          return Error(Code::kInvalidArgument, "path: missing; it is required")
              .Hint("the folder with config.json, tokenizer.json and the weights");
        }
        return call.lab().AddModelVersion(version, call.actor());
      });
  all.push_back(std::move(add));
  all.push_back(
      Gives<wire::ModelVersion>({.method = "GET",
                                 .path = "/api/v1/models/{version}",
                                 .operation_id = "getModel",
                                 .summary = "One model version with its lineage",
                                 .action = Action::kSeeLab},
                                "ModelVersion", [](Call& call) -> Result<wire::ModelVersion> {
                                  return *TRY(FindVersion(call.View(), call.Path("version")));
                                }));
  all.push_back(Lists<wire::Rollout>(
      {.method = "GET",
       .path = "/api/v1/rollouts",
       .operation_id = "listRollouts",
       .summary = "The newest rollouts",
       .action = Action::kSeeLab},
      "Rollout",
      [](Call& call) -> Result<std::vector<wire::Rollout>> { return call.View().rollouts; }));
  all.push_back(Gives<wire::Rollout>({.method = "GET",
                                      .path = "/api/v1/rollouts/{rollout}",
                                      .operation_id = "getRollout",
                                      .summary = "One rollout",
                                      .action = Action::kSeeLab},
                                     "Rollout", [](Call& call) -> Result<wire::Rollout> {
                                       return *TRY(FindRollout(call.View(), call.Path("rollout")));
                                     }));
  all.push_back(Lists<wire::Pipeline>(
      {.method = "GET",
       .path = "/api/v1/pipelines",
       .operation_id = "listPipelines",
       .summary = "Pipelines: from text to a served model",
       .action = Action::kSeeLab},
      "Pipeline",
      [](Call& call) -> Result<std::vector<wire::Pipeline>> { return call.View().pipelines; }));
  all.push_back(Gives<wire::Pipeline>({.method = "GET",
                                       .path = "/api/v1/pipelines/{pipeline}",
                                       .operation_id = "getPipeline",
                                       .summary = "One pipeline",
                                       .action = Action::kSeeLab},
                                      "Pipeline", [](Call& call) -> Result<wire::Pipeline> {
                                        return *TRY(
                                            FindPipeline(call.View(), call.Path("pipeline")));
                                      }));
  all.push_back(Takes<wire::Pipeline, wire::Pipeline>(
      {.method = "PUT",
       .path = "/api/v1/pipelines/{pipeline}",
       .operation_id = "putPipeline",
       .summary = "Create a pipeline, or change it; it needs the right to run its jobs",
       .action = Action::kRunJobs,
       .example = {{"name", "story"}, {"dataset", "docs"}, {"paused", true}}},
      "Pipeline", "Pipeline", [](Call& call, wire::Pipeline pipeline) -> Result<wire::Pipeline> {
        std::vector<std::string> teams;
        if (pipeline.build) teams.push_back(pipeline.build->team);
        if (pipeline.train) teams.push_back(pipeline.train->team);
        if (pipeline.service) teams.push_back(pipeline.service->team);
        // One that is there already belongs to the teams that it runs work for.
        for (const wire::Pipeline& old : call.View().pipelines) {
          if (old.name != pipeline.name) continue;
          if (old.build) teams.push_back(old.build->team);
          if (old.train) teams.push_back(old.train->team);
          if (old.service) teams.push_back(old.service->team);
        }
        if (teams.empty()) TRY(call.Allow({}));
        TRY(call.AllowTeams(teams));
        if (pipeline.name != call.Path("pipeline")) {
          return Error(Code::kInvalidArgument,
                       fmt::format("name: \"{}\" differs from the path's {}", pipeline.name,
                                   call.Path("pipeline")))
              .Hint("a pipeline keeps its name");
        }
        return call.lab().PutPipeline(pipeline, call.actor());
      }));
}

}  // namespace weir::gateway
