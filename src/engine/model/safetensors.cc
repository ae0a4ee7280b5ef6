#include "engine/model/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "base/check.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"

namespace weir::model {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr size_t kMaxTensorDimensions = 8;
constexpr size_t kMaxShards = 4096;

std::optional<DType> TypeNamed(std::string_view name) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (NameOf(type) == name) return type;
  }
  return std::nullopt;
}

// The non-negative integers of a JSON array; nullopt if it is anything else.
std::optional<std::vector<int64_t>> Integers(const Json& json, size_t max_count) {
  if (!json.is_array() || json.size() > max_count) return std::nullopt;
  std::vector<int64_t> values;
  for (const Json& item : json) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > INT64_MAX) return std::nullopt;
    values.push_back(item.get<int64_t>());
  }
  return values;
}

Result<TensorView> ParseTensor(const std::string& name, const Json& entry,
                               std::span<const std::byte> data) {
  const auto bad = [&](std::string_view what) -> Error {
    return Error(Code::kDataLoss, fmt::format("tensor {} {}", name, what));
  };
  if (!entry.is_object()) return bad("has no description");
  const auto dtype = entry.find("dtype");
  const auto shape = entry.find("shape");
  const auto offsets = entry.find("data_offsets");
  if (dtype == entry.end() || !dtype->is_string()) return bad("has no dtype");
  if (shape == entry.end() || offsets == entry.end()) return bad("lacks shape or data_offsets");
  const std::string& type_name = dtype->get_ref<const std::string&>();
  const std::optional<DType> type = TypeNamed(type_name);
  if (!type) {
    return Error(Code::kUnimplemented,
                 fmt::format("tensor {} has dtype {}; F32, F16 and BF16 are offered", name,
                             type_name.substr(0, 20)));
  }
  TensorView tensor{name, *type, {}, {}};
  std::optional<std::vector<int64_t>> dimensions = Integers(*shape, kMaxTensorDimensions);
  if (!dimensions) return bad("has a malformed shape");
  tensor.shape = *std::move(dimensions);
  const std::optional<std::vector<int64_t>> range = Integers(*offsets, 2);
  if (!range || range->size() != 2) return bad("has malformed data_offsets");
  const int64_t begin = (*range)[0], end = (*range)[1];
  if (begin > end || end > static_cast<int64_t>(data.size())) {
    return bad(fmt::format("has data_offsets [{}, {}], outside of {} bytes of data", begin, end,
                           data.size()));
  }
  int64_t elements = 1;
  for (const int64_t n : tensor.shape) {
    if (__builtin_mul_overflow(elements, n, &elements)) return bad("has a shape beyond 2^63");
  }
  const std::optional<int64_t> bytes = BytesOf(*type, elements);
  if (!bytes || *bytes != end - begin) {
    return bad(fmt::format("has {} bytes of data, but its shape needs {}", end - begin,
                           bytes.value_or(-1)));
  }
  tensor.data = data.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  return tensor;
}

}  // namespace

int64_t TensorView::elements() const {
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

const TensorView* SafetensorsFile::Find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

Result<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  std::shared_ptr<const io::MappedFile> mapping = TRY(io::MappedFile::Open(path));
  SafetensorsFile file = TRY(Parse(mapping->bytes(), path));
  file.mapping_ = std::move(mapping);
  return file;
}

Result<SafetensorsFile> SafetensorsFile::Parse(std::span<const std::byte> bytes,
                                               std::string_view name) {
  const auto bad = [&](std::string_view what) -> Error {
    return Error(Code::kDataLoss, fmt::format("{}: {}", name, what))
        .Hint("the file is truncated, damaged or not safetensors; copy it again");
  };
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) return bad("too short for a safetensors header");
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - sizeof header_bytes) {
    return bad(
        fmt::format("the header claims {} bytes, the file has {}", header_bytes, bytes.size()));
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + sizeof header_bytes;
  const Json json = Json::parse(text, text + header_bytes, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return bad("the header is not a JSON object");
  const std::span<const std::byte> data = bytes.subspan(sizeof header_bytes + header_bytes);

  SafetensorsFile file;
  for (const auto& [key, entry] : json.items()) {
    if (key == "__metadata__") {
      if (!entry.is_object()) return bad("__metadata__ is not an object");
      for (const auto& [k, v] : entry.items()) {
        if (!v.is_string()) return bad("__metadata__ holds something other than strings");
        file.metadata_[k] = v.get<std::string>();
      }
      continue;
    }
    Result<TensorView> tensor = ParseTensor(key, entry, data);
    if (!tensor) return std::move(tensor).error().In(name);
    file.tensors_.push_back(*std::move(tensor));
  }
  // Empty tensors first where two begin at one place.
  std::sort(file.tensors_.begin(), file.tensors_.end(),
            [](const TensorView& a, const TensorView& b) {
              return std::tuple(a.data.data(), a.data.size(), std::string_view(a.name)) <
                     std::tuple(b.data.data(), b.data.size(), std::string_view(b.name));
            });
  size_t expected = 0;
  for (size_t i = 0; i < file.tensors_.size(); ++i) {
    const TensorView& tensor = file.tensors_[i];
    if (tensor.data.data() != data.data() + expected) {
      return bad(fmt::format("tensor {} overlaps another or leaves a hole", tensor.name));
    }
    expected += tensor.data.size();
    file.index_[tensor.name] = i;
  }
  if (expected != data.size()) {
    return bad(fmt::format("{} bytes of data, but the tensors cover {}", data.size(), expected));
  }
  return file;
}

void SafetensorsFile::Forget(std::span<const std::byte> data) const {
  if (mapping_ != nullptr) mapping_->Forget(data);
}

Result<std::vector<std::string>> ParseSafetensorsIndex(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto bad = [](std::string_view what) -> Error {
    return Error(Code::kInvalidArgument, std::string(what));
  };
  if (!json.is_object()) return bad("the index is not a JSON object");
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) return bad("weight_map is missing");
  std::set<std::string> files;
  for (const auto& [tensor, file] : map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.front() == '.' ||
        name.find_first_of(std::string_view("/\\\0", 3)) != name.npos) {
      return bad(
          fmt::format("weight_map: tensor {} has no plain file name", tensor.substr(0, 200)));
    }
    files.insert(name);
    if (files.size() > kMaxShards)
      return bad(fmt::format("weight_map names more than {} files", kMaxShards));
  }
  if (files.empty()) return bad("weight_map is empty");
  return std::vector<std::string>(files.begin(), files.end());
}

std::string SafetensorsHeader(std::span<const TensorView> tensors,
                              const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    const std::optional<int64_t> bytes = BytesOf(tensor.type, tensor.elements());
    CHECK_MSG(bytes && BlockElements(tensor.type) == 1, "tensor {}", tensor.name);
    json[tensor.name] = {{"dtype", NameOf(tensor.type)},
                         {"shape", tensor.shape},
                         {"data_offsets", {offset, offset + *bytes}}};
    offset += *bytes;
  }
  std::string text = json.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string header(reinterpret_cast<const char*>(&length), sizeof length);
  return header + text;
}

Status WriteSafetensors(const std::string& path, std::span<const TensorView> tensors,
                        const std::map<std::string, std::string>& metadata) {
  io::AtomicFile file = TRY(io::AtomicFile::Create(path));
  TRY(file.Append(SafetensorsHeader(tensors, metadata)));
  for (const TensorView& tensor : tensors) {
    CHECK_MSG(BytesOf(tensor.type, tensor.elements()) == static_cast<int64_t>(tensor.data.size()),
              "tensor {}", tensor.name);
    TRY(file.Append(tensor.data));
  }
  return file.Commit();
}

}  // namespace weir::model
