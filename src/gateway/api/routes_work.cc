// Jobs and services.
#include <algorithm>

#include "gateway/api/engine_stats.h"
#include "gateway/api/find.h"
#include "gateway/api/job_log.h"
#include "gateway/api/streams.h"
#include "gateway/api/tables.h"
#include "gateway/api/typed.h"

namespace weir::gateway {

namespace {

using guard::Action;

// The most that one answer holds of a log; more comes by asking again from Weir-Next-Offset.
constexpr int64_t kLogPageBytes = 1 << 20;

Result<Reply> AnswerLogs(Call& call) {
  const wire::Job job = *TRY(FindJob(call.View(), call.Path("job")));
  TRY(call.AllowTeam(job.spec.team));
  const int64_t rank = call.query.Integer("rank").value_or(0);
  if (rank >= job.spec.max_slots) {
    return Error(Code::kInvalidArgument, fmt::format("query parameter rank: {} has ranks 0..{}",
                                                     job.id, job.spec.max_slots - 1))
        .Hint("rank 0 is the one that is asked for when none is said");
  }
  const auto tail = call.query.Integer("tail");
  const auto offset = call.query.Integer("offset");
  if (tail && offset) {
    return Error(Code::kInvalidArgument, "query parameters tail and offset exclude each other")
        .Hint("`tail` gives the last lines, `offset` reads on from a place");
  }
  JobLog log(JobLogPath(job, rank));
  if (tail) {
    TRY(log.SeekToLastLines(*tail, kLogPageBytes));
  } else if (offset) {
    TRY(log.Seek(*offset));
  }
  if (call.query.Flag("follow"))
    return Reply{.stream = FollowLog(std::move(log), job.id, HasEnded(job.phase))};
  Reply reply { .content_type = "text/plain; charset=utf-8", .body = TRY(log.Read(kLogPageBytes)) };
  reply.headers.push_back({"Weir-Next-Offset", std::to_string(log.offset())});
  return reply;
}

// The service's spec with some fields changed: RFC 7396, read as strictly as a whole one.
Result<wire::ServiceSpec> Patched(const wire::ServiceSpec& spec, const std::string& patch_text) {
  const wire::Json patch = TRY(wire::ParseJson(patch_text));
  if (!patch.is_object()) {
    return Error(Code::kInvalidArgument, "the body: expected an object with the fields to change")
        .Hint("such as {\"max_replicas\": 4}");
  }
  for (const char* fixed : {"name", "team"}) {
    if (patch.contains(fixed) && patch[fixed] != wire::ToJson(spec)[fixed]) {
      return Error(Code::kInvalidArgument, fmt::format("{}: cannot be changed", fixed))
          .Hint("create another service and retire this one");
    }
  }
  wire::Json whole = wire::ToJson(spec);
  whole.merge_patch(patch);
  return wire::FromJson<wire::ServiceSpec>(whole);
}

void AddJobs(std::vector<Route>& all) {
  all.push_back(Lists<wire::Job>(
      {.method = "GET",
       .path = "/api/v1/jobs",
       .operation_id = "listJobs",
       .summary = "Jobs that have not ended, then the newest that have",
       .action = Action::kSeeLab,
       .query = {{.name = "team", .doc = "only this team's"},
                 {.name = "phase",
                  .doc = "only jobs in this phase",
                  .one_of = {"queued", "running", "paused", "done", "failed", "cancelled"}}}},
      "Job", [](Call& call) -> Result<std::vector<wire::Job>> {
        std::vector<wire::Job> jobs = call.View().jobs;
        if (const auto team = call.query.Text("team"))
          std::erase_if(jobs, [&](const auto& j) { return j.spec.team != *team; });
        if (const auto phase = call.query.Text("phase"))
          std::erase_if(jobs, [&](const auto& j) { return wire::NameOf(j.phase) != *phase; });
        return jobs;
      }));
  all.push_back(Takes<wire::JobSpec, wire::Job>(
      {.method = "POST",
       .path = "/api/v1/jobs",
       .operation_id = "submitJob",
       .summary = "Submit a job",
       .action = Action::kRunJobs,
       .example = {{"name", "train-1"},
                   {"team", "research"},
                   {"command", {"python3", "train.py"}},
                   {"min_slots", 1},
                   {"max_slots", 4},
                   {"checkpointable", true}},
       .status = 201},
      "JobSpec", "Job", [](Call& call, wire::JobSpec spec) -> Result<wire::Job> {
        TRY(call.AllowTeam(spec.team));
        call.ShowEnvOf(spec.team);
        return call.lab().SubmitJob(spec, call.actor());
      }));
  all.push_back(Gives<wire::Job>({.method = "GET",
                                  .path = "/api/v1/jobs/{job}",
                                  .operation_id = "getJob",
                                  .summary = "One job",
                                  .action = Action::kSeeLab},
                                 "Job", [](Call& call) -> Result<wire::Job> {
                                   const wire::Job job =
                                       *TRY(FindJob(call.View(), call.Path("job")));
                                   call.ShowEnvOf(job.spec.team);
                                   return job;
                                 }));
  all.push_back(Takes<wire::JobSpec, wire::DryRunView>(
      {.method = "POST",
       .path = "/api/v1/jobs/dry-run",
       .operation_id = "dryRunJob",
       .summary = "Where and when a job would start, and whom that would touch; nothing is changed",
       .action = Action::kRunJobs,
       .example = {{"name", "train-1"},
                   {"team", "research"},
                   {"command", {"python3", "train.py"}},
                   {"min_slots", 2},
                   {"max_slots", 4}}},
      "JobSpec", "DryRun", [](Call& call, wire::JobSpec spec) -> Result<wire::DryRunView> {
        TRY(call.AllowTeam(spec.team));
        return call.lab().TryJob(spec, call.actor());
      }));
  all.push_back(Gives<wire::Job>({.method = "POST",
                                  .path = "/api/v1/jobs/{job}/cancel",
                                  .operation_id = "cancelJob",
                                  .summary = "Stop a job for good",
                                  .action = Action::kRunJobs},
                                 "Job", [](Call& call) -> Result<wire::Job> {
                                   const wire::Job job =
                                       *TRY(FindJob(call.View(), call.Path("job")));
                                   TRY(call.AllowTeam(job.spec.team));
                                   return call.lab().CancelJob(job.id, call.actor());
                                 }));
  Route logs{.method = "GET",
             .path = "/api/v1/jobs/{job}/logs",
             .operation_id = "readJobLogs",
             .summary =
                 "Output of a job, as bytes. Weir-Next-Offset in the answer says where to "
                 "read on; with `follow` it stays open until the job has ended",
             .action = Action::kSeeLogs,
             .query = {{.name = "rank",
                        .type = QueryType::kInteger,
                        .doc = "which of the job's processes; 0 if not said",
                        .high = 1 << 20},
                       {.name = "tail",
                        .type = QueryType::kInteger,
                        .doc = "begin with the last so many lines",
                        .high = 100'000},
                       {.name = "offset",
                        .type = QueryType::kInteger,
                        .doc = "begin at this byte of what is kept"},
                       {.name = "follow",
                        .type = QueryType::kFlag,
                        .doc = "go on with what is written, until the job ends"}},
             .content_type = "text/plain"};
  logs.handle = AnswerLogs;
  all.push_back(std::move(logs));
  all.push_back(Gives<wire::Curve>(
      {.method = "GET",
       .path = "/api/v1/jobs/{job}/curve",
       .operation_id = "getJobCurve",
       .summary = "Loss and speed of a job over its steps, thinned to a few hundred points",
       .action = Action::kSeeLab},
      "Curve", [](Call& call) -> Result<wire::Curve> {
        const wire::Job job = *TRY(FindJob(call.View(), call.Path("job")));
        return call.lab().CurveOf(job.id);
      }));
  all.push_back(Gives<wire::WhyView>(
      {.method = "GET",
       .path = "/api/v1/jobs/{job}/why",
       .operation_id = "whyJob",
       .summary = "What was decided about a job, what it waits for, what would change it",
       .action = Action::kSeeLab},
      "Why", [](Call& call) -> Result<wire::WhyView> {
        const wire::Job job = *TRY(FindJob(call.View(), call.Path("job")));
        return call.lab().Why("job", job.id);
      }));
}

// A change of one service by those who may: finds it, asks, then `change`.
Route ChangesService(Route route, const char* in_type, wire::Json in_schema,
                     std::function<Result<wire::Service>(Call&, const wire::Service&)> change) {
  route.request_type = in_type;
  route.request_schema = std::move(in_schema);
  return Gives<wire::Service>(std::move(route), "Service",
                              [change = std::move(change)](Call& call) -> Result<wire::Service> {
                                const wire::Service service =
                                    TRY(FindService(call.View(), call.Path("service")))
                                ->service;
                                TRY(call.AllowTeam(service.spec.team));
                                call.ShowEnvOf(service.spec.team);
                                return change(call, service);
                              });
}

void AddServices(std::vector<Route>& all) {
  all.push_back(Lists<wire::ServiceView>(
      {.method = "GET",
       .path = "/api/v1/services",
       .operation_id = "listServices",
       .summary = "Services that are not retired, with their traffic",
       .action = Action::kSeeLab,
       .query = {{.name = "team", .doc = "only this team's"}}},
      "ServiceView", [](Call& call) -> Result<std::vector<wire::ServiceView>> {
        std::vector<wire::ServiceView> services = call.View().services;
        if (const auto team = call.query.Text("team")) {
          std::erase_if(services, [&](const auto& s) { return s.service.spec.team != *team; });
        }
        return services;
      }));
  all.push_back(Takes<wire::ServiceSpec, wire::Service>(
      {.method = "POST",
       .path = "/api/v1/services",
       .operation_id = "createService",
       .summary = "Create a service",
       .action = Action::kRunServices,
       .example = {{"name", "assistant"},
                   {"team", "product"},
                   {"model", "weir-tiny"},
                   {"min_replicas", 1},
                   {"max_replicas", 4},
                   {"slo", {{"ttft_ms", 500}}}},
       .status = 201},
      "ServiceSpec", "Service", [](Call& call, wire::ServiceSpec spec) -> Result<wire::Service> {
        TRY(call.AllowTeam(spec.team));
        call.ShowEnvOf(spec.team);
        return call.lab().CreateService(spec, call.actor());
      }));
  all.push_back(Gives<wire::ServiceView>(
      {.method = "GET",
       .path = "/api/v1/services/{service}",
       .operation_id = "getService",
       .summary = "One service with its traffic",
       .action = Action::kSeeLab},
      "ServiceView", [](Call& call) -> Result<wire::ServiceView> {
        const wire::ServiceView service = *TRY(FindService(call.View(), call.Path("service")));
        call.ShowEnvOf(service.service.spec.team);
        return service;
      }));
  wire::Json patch_schema = wire::SchemaOf<wire::ServiceSpec>();
  patch_schema.erase("required");
  all.push_back(ChangesService(
      {.method = "PATCH",
       .path = "/api/v1/services/{service}",
       .operation_id = "updateService",
       .summary = "Change the given fields of a service; a new model starts a rollout",
       .action = Action::kRunServices,
       .example = {{"model", "weir-tiny@2"}, {"tier", 2}}},
      "ServicePatch", patch_schema,
      [](Call& call, const wire::Service& service) -> Result<wire::Service> {
        return call.lab().UpdateService(TRY(Patched(service.spec, call.body)), call.actor());
      }));
  all.push_back(
      ChangesService({.method = "POST",
                      .path = "/api/v1/services/{service}/scale",
                      .operation_id = "scaleService",
                      .summary = "Change how few and how many replicas a service may have",
                      .action = Action::kRunServices,
                      .example = {{"min_replicas", 1}, {"max_replicas", 6}}},
                     "ScaleRequest", wire::SchemaOf<wire::ScaleRequest>(),
                     [](Call& call, const wire::Service& service) -> Result<wire::Service> {
                       const auto scale = TRY(wire::FromText<wire::ScaleRequest>(call.body));
                       wire::ServiceSpec spec = service.spec;
                       spec.min_replicas = scale.min_replicas;
                       spec.max_replicas = scale.max_replicas;
                       return call.lab().UpdateService(spec, call.actor());
                     }));
  all.push_back(ChangesService({.method = "POST",
                                .path = "/api/v1/services/{service}/retire",
                                .operation_id = "retireService",
                                .summary = "Finish what is being served, then stop for good",
                                .action = Action::kRunServices},
                               "", {}, [](Call& call, const wire::Service& service) {
                                 return call.lab().RetireService(service.id, call.actor());
                               }));
  all.push_back(Gives<wire::EngineView>(
      {.method = "GET",
       .path = "/api/v1/services/{service}/engine",
       .operation_id = "showEngine",
       .summary = "Batch, KV cache, tokens and latencies of a service's engines, asked of each now",
       .action = Action::kSeeLab},
      "Engine", [](Call& call) -> Result<wire::EngineView> {
        const wire::ServiceView service = *TRY(FindService(call.View(), call.Path("service")));
        return AskEngines(call.View(), service.service);
      }));
  all.push_back(Gives<wire::WhyView>(
      {.method = "GET",
       .path = "/api/v1/services/{service}/why",
       .operation_id = "whyService",
       .summary = "What was decided about a service, on which numbers, and what would change it",
       .action = Action::kSeeLab},
      "Why", [](Call& call) -> Result<wire::WhyView> {
        const wire::Service service = TRY(FindService(call.View(), call.Path("service")))
        ->service;
        return call.lab().Why("service", service.id);
      }));
}

}  // namespace

void AddWorkRoutes(std::vector<Route>& all) {
  AddJobs(all);
  AddServices(all);
}

}  // namespace weir::gateway
