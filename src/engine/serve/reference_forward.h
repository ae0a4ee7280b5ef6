// The forward pass of every architecture as plain loops in double over a whole sequence: the oracle
// of the tests, never used by the program.
//
// It reads the tensors of the files by name and knows each family by name, on purpose: nothing is
// shared with the table of model/architecture.h, the loading into packed matrices or the kernels,
// but for the widening of stored types. GGUF's llama is turned in neighbour order, as stored.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/model/weights.h"

namespace weir::serve {

class Reference {
 public:
  // `context` as Forward's; 0: the model's.
  explicit Reference(const model::Model& model, int64_t context = 0);
  // [tokens.size(), vocab_size] for a sequence from nothing.
  std::vector<float> Logits(std::span<const int32_t> tokens);
  // [tokens.size(), dim], after the last norm.
  std::vector<float> Hidden(std::span<const int32_t> tokens);

 private:
  using Vector = std::vector<double>;
  struct Tensor {
    std::vector<float> values;
    int64_t rows = 0, columns = 0;
  };
  const Tensor& Get(const std::string& hf_name);
  bool Has(const std::string& hf_name) const;
  std::string FileName(const std::string& hf_name) const;
  Vector Apply(const Tensor& w, const Vector& x, int64_t row = 0, int64_t rows = -1) const;
  Vector Project(const std::string& name, const Vector& x);
  Vector Norm(const std::string& name, const Vector& x);
  void HeadNorms(const std::string& name, int heads, Vector& x);
  void Turn(Vector& x, int heads, int64_t position, bool sliding) const;
  bool Sliding(int layer) const;
  std::vector<Vector> AttentionOf(int layer, const std::vector<Vector>& x);
  Vector MlpOf(int layer, const Vector& x);
  Vector FeedForward(const Vector& gate, const Vector& up) const;

  const model::Model& model_;
  const model::ModelConfig& c_;
  model::Architecture family_;
  bool gguf_;
  int64_t context_;
  std::map<std::string, Tensor> tensors_;
};

inline std::vector<float> ReferenceLogits(const model::Model& model,
                                          std::span<const int32_t> tokens) {
  return Reference(model).Logits(tokens);
}

}  // namespace weir::serve
