// GGUF, versions 2 and 3, little-endian: "GGUF", u32 version, u64 tensor count, u64 metadata count,
// metadata (key, type, value), tensor infos (name, dimensions, type, offset), padding to
// general.alignment (32 unless stated), tensor data.
// Source: the format's description in ggml-org/ggml, docs/gguf.md.
//
// A file is input from anywhere: every count, length and offset is checked against what is left of
// the file before it is used, products are checked for overflow, and an error names the file and
// the field. Nothing is allocated in proportion to a number that the file merely claims.
// Threads: a GgufFile is immutable after Open. Views live as long as it (or the bytes of Parse).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "engine/model/dtype.h"
#include "engine/model/safetensors.h"

namespace weir::model {

enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// An array of numbers or booleans, packed as in the file, or of strings. Arrays of arrays are
// refused.
struct GgufArray {
  GgufType element = GgufType::kU8;
  uint64_t count = 0;
  std::span<const std::byte> bytes;       // of all but strings; not aligned
  std::vector<std::string_view> strings;  // of strings
  double NumberAt(uint64_t i) const;      // i < count, not strings (CHECK)
  int64_t IntAt(uint64_t i) const;
};

using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

class GgufFile {
 public:
  static Result<GgufFile> Open(const std::string& path);
  static Result<GgufFile> Parse(std::span<const std::byte> bytes, std::string_view name);

  const std::string& name() const { return name_; }
  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  // nullopt: absent. A value of another kind is an error that names the key.
  Result<std::optional<int64_t>> Int(std::string_view key) const;
  Result<std::optional<double>> Number(std::string_view key) const;
  Result<std::optional<bool>> Bool(std::string_view key) const;
  Result<std::optional<std::string_view>> String(std::string_view key) const;
  Result<const GgufArray*> Array(std::string_view key) const;  // nullptr: absent

  // The bytes of a value as they lie in the file, its type before them; empty: absent.
  std::span<const std::byte> Raw(std::string_view key) const;

  // Shapes are row-major here (GGUF stores the fastest dimension first), names as in the file.
  // Tensors of types that DType lacks have no data view: they stand in unsupported() by name.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  const TensorView* Find(std::string_view name) const;
  const std::map<std::string, std::string, std::less<>>& unsupported() const {  // name -> type
    return unsupported_;
  }
  // Gives the pages of these bytes (a tensor's data) back; read again, they come from the file.
  void Forget(std::span<const std::byte> data) const;

 private:
  friend class GgufParser;
  std::shared_ptr<const io::MappedFile> mapping_;
  std::string name_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::map<std::string, std::span<const std::byte>, std::less<>> raw_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  std::map<std::string, std::string, std::less<>> unsupported_;
};

class GgufWriter {
 public:
  GgufWriter() = default;
  GgufWriter(GgufWriter&&) = default;  // tensors may point into owned_, which stays where it is
  void U32(std::string_view key, uint32_t value);
  void F32(std::string_view key, float value);
  void Bool(std::string_view key, bool value);
  void String(std::string_view key, std::string_view value);
  void Strings(std::string_view key, std::span<const std::string> values);
  void I32s(std::string_view key, std::span<const int32_t> values);
  void F32s(std::string_view key, std::span<const float> values);
  void Copy(const GgufFile& from, std::string_view key);  // absent: nothing happens
  // The data, where given, must live until Write; without any, `produce` is asked for it there.
  void Tensor(TensorView tensor);
  void OwnedTensor(std::string name, std::vector<float> values);  // F32, one dimension

  std::string Header() const;  // everything before the tensor data, padding included
  // The data of one tensor: BytesOf its type and shape, valid until the next call.
  using Produce = std::function<Result<std::span<const std::byte>>(const TensorView&)>;
  // Under a temporary name, synced, renamed. Tensor by tensor: what `produce` makes need not fit
  // into memory at once.
  Status Write(const std::string& path, const Produce& produce = {}) const;

 private:
  void Key(std::string_view key, GgufType type);
  std::string metadata_;
  uint64_t metadata_count_ = 0;
  std::vector<TensorView> tensors_;
  std::deque<std::vector<float>> owned_;
};

}  // namespace weir::model
