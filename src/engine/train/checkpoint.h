// A checkpoint: a folder that holds all that is needed to serve the model, and to go on training.
//
//   step-000200/
//     model.safetensors       weights under Hugging Face's Llama names, F32 or BF16
//     config.json             Hugging Face LlamaConfig
//     generation_config.json
//     tokenizer.json          Hugging Face tokenizers
//     optimizer.safetensors   "m.NAME" and "v.NAME" (AdamW's moments); with bf16 weights also
//                             "master.NAME", the f32 weights; always F32
//     trainer.json            TrainerState
//     manifest.json           every file above with its size and SHA-256, and the lineage
//
// Written to ".tmp-..." beside it; every file synced, read back and compared by hash; then the
// folder renamed and its parent synced. So a folder named step-... is whole, or the disk lied: a
// reader verifies all hashes again and takes an earlier one if they do not match.
//
// Threads: one writer for a checkpoint folder (the trainer holds a lock).
// Errors: kDataLoss for bytes that are not what the manifest says; io's for what the disk says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/model/config.h"
#include "engine/train/model.h"

namespace weir::train {

struct TrainerState {
  int64_t step = 0;
  int64_t windows = 0;  // training windows consumed: the place in the data
  int64_t tokens = 0;
  uint64_t seed = 0;
  int world_size = 1;  // that wrote this
  double train_seconds = 0;
  double loss = 0;  // of the last step
  std::optional<double> held_out_loss;
  std::vector<double> loss_tail;     // of the last steps, newest last
  std::string hyperparameters_json;  // an object: what the run was told
};

struct Lineage {
  std::string dataset_sha256;
  std::string parent;  // SHA-256 of the manifest that this run started from; empty: from scratch
  std::string code_version;
  std::string run;  // WEIR_RUN
  std::string job;  // WEIR_JOB
};

struct Written {
  std::string path;             // absolute
  std::string manifest_sha256;  // the checkpoint's name by content
};

// `m` and `v` lie as model.parameters(). tokenizer_json may be empty (then there is no such file).
Result<Written> WriteCheckpoint(const std::string& folder, Model& model, const Buffer& m,
                                const Buffer& v, const TrainerState& state, const Lineage& lineage,
                                const std::string& tokenizer_json);

struct Found {
  std::string path;
  std::string manifest_sha256;
  TrainerState state;
  model::ModelConfig config;
};
// Checks everything that the manifest lists.
Result<Found> VerifyCheckpoint(const std::string& path);
// The newest that verifies; nullopt where there is none. What was passed over, and why, goes to
// `notes`, a sentence each.
Result<std::optional<Found>> NewestCheckpoint(const std::string& folder,
                                              std::vector<std::string>& notes);
// Weights and moments of a verified checkpoint. Refuses shapes that differ from the model's, and
// NaN or infinite weights.
Status LoadCheckpoint(const Found& found, Model& model, Buffer& m, Buffer& v,
                      kernels::ThreadPool* pool);

// Removes what an interrupted writer left, and all but the newest `keep` checkpoints. keep <= 0:
// all stay.
Status Tidy(const std::string& folder, int keep);

}  // namespace weir::train
