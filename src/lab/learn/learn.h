// From checkpoints to served models: the gate, versions and rollouts, decided from a snapshot.
//
// Advance is pure like sched::Decide: what it returns is journaled and done by the control loop.
// It is asked on every tick and answers with the next steps only; a step whose effect is already in
// the snapshot is not asked for again, so a crash between any two steps loses and repeats nothing.
//
// The gate       held-out loss < gate_share_of_uniform x ln(vocabulary): the model must know far
//                more than the uniform guess. A NaN or missing loss never passes.
// A rollout      one replica at a time: a new one starts in the same slots beside the old, and only
//                when it is ready does the old one drain (lease.replaces). Three new replicas that
//                fail to become ready abort the rollout: what moved goes back the same way.
// A variant      when a surge (or its end) has changed the version of a service, or a person its
//                engine flags, variables or command, its replicas follow in the same way, a quarter
//                of them at a time: a surge does not wait.
#pragma once

#include <string>
#include <vector>

#include "base/units.h"
#include "wire/lab.h"

namespace weir::learn {

// What a checkpoint folder's and a dataset folder's manifest.json said; read by the control loop.
struct CheckpointFacts {
  std::string job;
  wire::Checkpoint checkpoint;
  int64_t vocab_size = 0;
  std::string dataset_sha256;
  std::string config_sha256;
  std::string code_version;
};
struct DatasetFacts {
  std::string path;
  std::string sha256;
  int64_t bytes = 0;
  wire::Json report;
};

struct Snapshot {
  Time now;
  std::vector<wire::Pipeline> pipelines;
  std::vector<wire::Job> jobs;  // all that the state knows, ended ones too
  std::vector<wire::Dataset> datasets;
  std::vector<DatasetFacts> built;  // folders named by pipelines that hold a valid manifest
  std::vector<CheckpointFacts> checkpoints;  // newest of each job that a pipeline trains
  std::vector<wire::ModelVersion> versions;  // in order of registration
  std::vector<wire::Service> services;       // not retired
  std::vector<wire::Lease> replicas;         // leases of replicas that have not ended
  std::vector<wire::Rollout> rollouts;       // running ones
  std::vector<wire::Rollout> aborted;        // their versions are not tried again
  bool draining = false;
};

enum class StepKind {
  kSubmitJob,       // job
  kAddDataset,      // dataset
  kAddVersion,      // version (number and id are given by the state)
  kCreateService,   // service
  kStartRollout,    // rollout (service, from, to)
  kReplaceReplica,  // lease: start one of `version` in its slots, drain it when that one is ready
  kFinishRollout,   // rollout id, phase kDone or kAborted
};

struct Step {
  StepKind kind = StepKind::kSubmitJob;
  std::string pipeline;
  wire::JobSpec job;
  wire::Dataset dataset;
  wire::ModelVersion version;
  wire::ServiceSpec service;
  wire::Rollout rollout;
  std::string lease;
  std::string to_version;
  std::string why;
};

std::vector<Step> Advance(const Snapshot& snapshot);

// The gate alone: passes, and the sentence with the numbers.
struct GateResult {
  bool passes = false;
  std::string why;
};
GateResult Gate(const wire::Pipeline& pipeline, const CheckpointFacts& facts);

}  // namespace weir::learn
