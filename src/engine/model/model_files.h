// A model's files, opened and checked against its shape, with nothing computed: what inspecting,
// exporting and quantizing need, and what Model::Load (weights.h) packs.
//
// From a folder (config.json, tokenizer.json, model.safetensors or the shards that
// model.safetensors.index.json names; generation_config.json, tokenizer_config.json and
// chat_template.jinja where they are) or from one GGUF file. Weights stay in the mapped files.
//
// Refused, with the file and the tensor named: missing, unknown, repeated or wrongly shaped
// tensors, a tokenizer with more tokens than the model has. NaN and infinity are refused where
// weights are read, not here. Threads: immutable. Memory: views live as long as the ModelFiles.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/kernels/packed.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/architecture.h"
#include "engine/model/config.h"
#include "engine/model/generation.h"
#include "engine/model/gguf.h"
#include "engine/model/safetensors.h"
#include "engine/model/tokenizer.h"

namespace weir::model {

// What one place holds, as it lies in a file: [rows, columns], columns 1 for vectors.
struct Stored {
  DType type = DType::kF32;
  int64_t rows = 0, columns = 0;
  std::span<const std::byte> data;
  bool neighbours = false;  // its rows are in neighbour order (rope.h)
  size_t tensor = 0;        // index into ModelFiles::tensors()
};

class ModelFiles {
 public:
  // `path`: a folder or a .gguf file.
  static Result<std::shared_ptr<const ModelFiles>> Open(const std::string& path);

  const ModelConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const GenerationDefaults& generation() const { return generation_; }
  const std::string& chat_template() const { return chat_template_; }  // "" where there is none
  Format format() const { return gguf_ != nullptr ? Format::kGguf : Format::kHf; }
  const GgufFile* gguf() const { return gguf_.get(); }  // nullptr: a folder
  const std::string& path() const { return path_; }
  // The last part of the path, without ".gguf": the model's name unless somebody gives another.
  const std::string& name() const { return name_; }

  // All of TensorSpecs(config, format), in that order; names, types and rows as in the files.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  const std::vector<TensorSpec>& specs() const { return specs_; }  // of tensors()
  int64_t weight_bytes() const;

  // nullptr: this model has no such place.
  const Stored* Find(const Place& place) const;
  const Stored& At(const Place& place) const;  // CHECKs that it is there

  // The values of a norm or a bias, rows in half order, with the 1 added that Gemma's files leave
  // out; empty where the model has none. Refuses NaN and infinity.
  Result<std::vector<float>> Vector(const Place& place) const;
  // The rows of a matrix, in half order: the mapped bytes themselves, or a copy in `scratch` where
  // they must be turned or are not aligned. Refuses NaN and infinity, looking at scales alone where
  // there are scales, on `pool`. The tied head is the embedding.
  Result<kernels::Weights> Matrix(const Place& place, std::vector<std::byte>& scratch,
                                  kernels::ThreadPool* pool) const;
  // Gives the pages of a place back: it was read, and will hardly be again.
  void Forget(const Place& place) const;

 private:
  friend class FilesOpener;
  Error NonFinite(const Stored& stored) const;

  std::string path_, name_;
  ModelConfig config_;
  GenerationDefaults generation_;
  std::string chat_template_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::shared_ptr<const GgufFile> gguf_;
  std::vector<std::shared_ptr<const SafetensorsFile>> shards_;
  std::vector<TensorView> tensors_;
  std::vector<size_t> shard_of_;  // of tensors_; 0 for GGUF
  std::vector<std::string> file_of_;
  std::vector<TensorSpec> specs_;
  std::map<Place, Stored> places_;
};

}  // namespace weir::model
