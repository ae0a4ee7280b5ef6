// safetensors: u64 header length (little-endian), a JSON header, then the data of all tensors.
//   {"__metadata__": {"k": "v"}, "name": {"dtype": "F32", "shape": [2,3], "data_offsets": [b, e]}}
// Offsets count from the end of the header; tensors neither overlap nor leave holes.
// Source: the format's description at github.com/huggingface/safetensors.
//
// Reading maps the file: a tensor is a view that lives as long as the SafetensorsFile it came from.
// Every size and offset is checked against the file, and shape * dtype against the offsets, before
// a view is handed out; an error names the file and the tensor.
// Threads: a SafetensorsFile is immutable after Open.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/model/dtype.h"

namespace weir::io {
class MappedFile;
}

namespace weir::model {

// A named, row-major array that somebody else owns.
struct TensorView {
  std::string name;
  DType type = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;
  int64_t elements() const;
};

class SafetensorsFile {
 public:
  static Result<SafetensorsFile> Open(const std::string& path);
  // Over bytes that outlive the result; `name` is used in errors.
  static Result<SafetensorsFile> Parse(std::span<const std::byte> bytes, std::string_view name);

  // In the order of their data. Dtypes other than F32, F16 and BF16 are refused by Parse.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  const TensorView* Find(std::string_view name) const;  // nullptr: none
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Gives the pages of these bytes (a tensor's data) back; read again, they come from the file.
  void Forget(std::span<const std::byte> data) const;

 private:
  std::shared_ptr<const io::MappedFile> mapping_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  std::map<std::string, std::string> metadata_;
};

// The files that a model.safetensors.index.json names, sorted, each a plain name without folders.
//   {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors", ...}}
Result<std::vector<std::string>> ParseSafetensorsIndex(std::string_view json);

// The bytes of the header (length prefix included, padded with spaces to 8) for these tensors in
// this order; the data follow it back to back. Only name, type and shape of each view are used.
std::string SafetensorsHeader(std::span<const TensorView> tensors,
                              const std::map<std::string, std::string>& metadata);

// Header and data to `path` under a temporary name, synced, then renamed: never half a file.
Status WriteSafetensors(const std::string& path, std::span<const TensorView> tensors,
                        const std::map<std::string, std::string>& metadata = {});

}  // namespace weir::model
