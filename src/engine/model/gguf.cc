#include "engine/model/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"

namespace weir::model {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kWriteVersion = 3;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint64_t kMaxKeyBytes = 65535;  // the format's limit
constexpr uint32_t kMaxGgufDimensions = 4;
// The shortest possible entries: a claimed count is compared with what the rest of the file could
// hold, so that nothing is reserved for entries that are not there.
constexpr uint64_t kMinMetadataBytes = 8 + 4 + 1;  // key length, type, one byte of value
constexpr uint64_t kMinTensorBytes =
    8 + 4 + 8 + 4 + 8;  // name length, n, one dimension, type, offset

int ScalarBytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

template <class T>
T Load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

GgufValue LoadScalar(GgufType type, const std::byte* p) {
  switch (type) {
    case GgufType::kU8:
      return uint64_t{Load<uint8_t>(p)};
    case GgufType::kI8:
      return int64_t{Load<int8_t>(p)};
    case GgufType::kU16:
      return uint64_t{Load<uint16_t>(p)};
    case GgufType::kI16:
      return int64_t{Load<int16_t>(p)};
    case GgufType::kU32:
      return uint64_t{Load<uint32_t>(p)};
    case GgufType::kI32:
      return int64_t{Load<int32_t>(p)};
    case GgufType::kF32:
      return double{Load<float>(p)};
    case GgufType::kBool:
      return Load<uint8_t>(p) != 0;
    case GgufType::kU64:
      return Load<uint64_t>(p);
    case GgufType::kI64:
      return Load<int64_t>(p);
    case GgufType::kF64:
      return Load<double>(p);
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  CheckFailed(__FILE__, __LINE__, "scalar type", {});
}

}  // namespace

double GgufArray::NumberAt(uint64_t i) const {
  CHECK(i < count && element != GgufType::kString);
  const GgufValue value = LoadScalar(element, bytes.data() + i * ScalarBytes(element));
  if (const auto* u = std::get_if<uint64_t>(&value)) return static_cast<double>(*u);
  if (const auto* n = std::get_if<int64_t>(&value)) return static_cast<double>(*n);
  if (const auto* d = std::get_if<double>(&value)) return *d;
  return std::get<bool>(value) ? 1.0 : 0.0;
}

int64_t GgufArray::IntAt(uint64_t i) const {
  CHECK(i < count && element != GgufType::kString);
  const GgufValue value = LoadScalar(element, bytes.data() + i * ScalarBytes(element));
  if (const auto* u = std::get_if<uint64_t>(&value)) return static_cast<int64_t>(*u);
  if (const auto* n = std::get_if<int64_t>(&value)) return *n;
  if (const auto* d = std::get_if<double>(&value)) {
    return *d >= -9e18 && *d <= 9e18 ? static_cast<int64_t>(*d) : -1;
  }
  return std::get<bool>(value);
}

// A cursor over the file; every read is checked against what is left.
class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, std::string_view name) : bytes_(bytes) {
    file_.name_ = name;
  }

  Result<GgufFile> Run() {
    Status status = Header();
    if (!status) return std::move(status).error().In(file_.name_);
    return std::move(file_);
  }

 private:
  uint64_t left() const { return bytes_.size() - at_; }

  static Error Bad(std::string_view what) {
    return Error(Code::kDataLoss, std::string(what))
        .Hint("the file is truncated, damaged or not a GGUF file; copy it again");
  }

  template <class T>
  Result<T> Read(std::string_view field) {
    if (left() < sizeof(T)) return Bad(fmt::format("the file ends inside {}", field));
    const T value = Load<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return value;
  }

  Result<std::string_view> ReadString(std::string_view field, uint64_t max = UINT64_MAX) {
    const uint64_t length = TRY(Read<uint64_t>(field));
    if (length > left() || length > max) {
      return Bad(fmt::format("{} claims {} bytes, {} are left", field, length, left()));
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + at_, length);
    at_ += length;
    return text;
  }

  Result<GgufType> ReadType(std::string_view field) {
    const uint32_t type = TRY(Read<uint32_t>(field));
    if (type > static_cast<uint32_t>(GgufType::kF64)) {
      return Bad(fmt::format("{} has type {}, which does not exist", field, type));
    }
    return static_cast<GgufType>(type);
  }

  Result<GgufValue> ReadValue(GgufType type, std::string_view key) {
    if (type == GgufType::kString) return GgufValue(TRY(ReadString(key)));
    if (type == GgufType::kArray) return GgufValue(TRY(ReadArray(key)));
    const auto size = static_cast<uint64_t>(ScalarBytes(type));
    if (left() < size) return Bad(fmt::format("the file ends inside {}", key));
    GgufValue value = LoadScalar(type, bytes_.data() + at_);
    at_ += size;
    return value;
  }

  Result<GgufArray> ReadArray(std::string_view key) {
    GgufArray array;
    array.element = TRY(ReadType(key));
    array.count = TRY(Read<uint64_t>(key));
    if (array.element == GgufType::kArray) return Bad(fmt::format("{} is an array of arrays", key));
    const bool strings = array.element == GgufType::kString;
    const uint64_t smallest = strings ? 8 : static_cast<uint64_t>(ScalarBytes(array.element));
    if (array.count > left() / smallest) {
      return Bad(fmt::format("{} claims {} elements, {} bytes are left", key, array.count, left()));
    }
    if (strings) {
      array.strings.reserve(array.count);
      for (uint64_t i = 0; i < array.count; ++i) array.strings.push_back(TRY(ReadString(key)));
    } else {
      array.bytes = bytes_.subspan(at_, array.count * smallest);
      at_ += array.bytes.size();
    }
    return array;
  }

  Status Header() {
    if (bytes_.size() < kMagic.size() || std::memcmp(bytes_.data(), kMagic.data(), 4) != 0) {
      return Bad("does not begin with \"GGUF\"");
    }
    at_ = kMagic.size();
    const uint32_t version = TRY(Read<uint32_t>("version"));
    if (version != 2 && version != 3) {
      return Error(Code::kUnimplemented,
                   fmt::format("GGUF version {} (2 and 3, little-endian, are read)", version));
    }
    const uint64_t tensors = TRY(Read<uint64_t>("tensor_count"));
    const uint64_t metadata = TRY(Read<uint64_t>("metadata_kv_count"));
    if (metadata > left() / kMinMetadataBytes) {
      return Bad(fmt::format("metadata_kv_count is {}, {} bytes are left", metadata, left()));
    }
    for (uint64_t i = 0; i < metadata; ++i) {
      const std::string_view key = TRY(ReadString("a metadata key", kMaxKeyBytes));
      const size_t begin = at_;
      const GgufType type = TRY(ReadType(key));
      GgufValue value = TRY(ReadValue(type, key));
      file_.raw_.emplace(key, bytes_.subspan(begin, at_ - begin));
      if (!file_.metadata_.emplace(key, std::move(value)).second) {
        return Bad(fmt::format("metadata key {} stands twice", key));
      }
    }
    return Tensors(tensors);
  }

  struct Info {
    TensorView view;
    uint32_t type;
    uint64_t offset;
  };

  Result<Info> ReadInfo(uint64_t alignment) {
    Info info;
    info.view.name = TRY(ReadString("a tensor name", kMaxKeyBytes));
    const std::string& name = info.view.name;
    const uint32_t dimensions = TRY(Read<uint32_t>(name));
    if (dimensions == 0 || dimensions > kMaxGgufDimensions) {
      return Bad(fmt::format("tensor {} has {} dimensions, not 1 to 4", name, dimensions));
    }
    int64_t elements = 1;
    for (uint32_t d = 0; d < dimensions; ++d) {
      const uint64_t n = TRY(Read<uint64_t>(name));
      if (n > INT64_MAX || __builtin_mul_overflow(elements, static_cast<int64_t>(n), &elements)) {
        return Bad(fmt::format("tensor {} has a shape beyond 2^63", name));
      }
      info.view.shape.insert(info.view.shape.begin(), static_cast<int64_t>(n));
    }
    info.type = TRY(Read<uint32_t>(name));
    info.offset = TRY(Read<uint64_t>(name));
    if (info.offset % alignment != 0) {
      return Bad(fmt::format("tensor {} has offset {}, not a multiple of {}", name, info.offset,
                             alignment));
    }
    return info;
  }

  Status Tensors(uint64_t count) {
    if (count > left() / kMinTensorBytes) {
      return Bad(fmt::format("tensor_count is {}, {} bytes are left", count, left()));
    }
    const int64_t stated = TRY(file_.Int("general.alignment"))
    .value_or(kDefaultAlignment);
    if (stated < 1 || stated > static_cast<int64_t>(kMaxAlignment) || (stated & (stated - 1))) {
      return Bad(fmt::format("general.alignment is {}, not a power of two", stated));
    }
    const auto alignment = static_cast<uint64_t>(stated);
    std::vector<Info> infos;
    for (uint64_t i = 0; i < count; ++i) infos.push_back(TRY(ReadInfo(alignment)));
    if (infos.empty()) return {};
    const uint64_t padding = (alignment - at_ % alignment) % alignment;
    if (padding > left()) return Bad("the file ends before the tensor data");
    const std::span<const std::byte> data = bytes_.subspan(at_ + padding);
    for (Info& info : infos) TRY(Place(std::move(info), data));
    return {};
  }

  Status Place(Info info, std::span<const std::byte> data) {
    TensorView& view = info.view;
    if (file_.index_.contains(view.name) || file_.unsupported_.contains(view.name)) {
      return Bad(fmt::format("tensor {} stands twice", view.name));
    }
    const std::optional<DType> known = kernels::DTypeOfGgufId(info.type);
    if (!known) {
      file_.unsupported_[view.name] =
          fmt::format("{} (GGUF type {})", kernels::GgufTypeName(info.type), info.type);
      return {};
    }
    view.type = *known;
    if (view.shape.back() % BlockElements(view.type) != 0) {
      return Bad(fmt::format("tensor {} has rows of {}, not whole blocks of {}", view.name,
                             view.shape.back(), NameOf(view.type)));
    }
    const std::optional<int64_t> bytes = BytesOf(view.type, view.elements());
    if (!bytes || info.offset > data.size() ||
        static_cast<uint64_t>(*bytes) > data.size() - info.offset) {
      return Bad(fmt::format("tensor {} ({} bytes at {}) is outside of {} bytes of data", view.name,
                             bytes.value_or(-1), info.offset, data.size()));
    }
    view.data = data.subspan(info.offset, static_cast<size_t>(*bytes));
    file_.index_[view.name] = file_.tensors_.size();
    file_.tensors_.push_back(std::move(view));
    return {};
  }

  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  GgufFile file_;
};

Result<GgufFile> GgufFile::Open(const std::string& path) {
  std::shared_ptr<const io::MappedFile> mapping = TRY(io::MappedFile::Open(path));
  GgufFile file = TRY(Parse(mapping->bytes(), path));
  file.mapping_ = std::move(mapping);
  return file;
}

Result<GgufFile> GgufFile::Parse(std::span<const std::byte> bytes, std::string_view name) {
  return GgufParser(bytes, name).Run();
}

std::span<const std::byte> GgufFile::Raw(std::string_view key) const {
  const auto it = raw_.find(key);
  return it == raw_.end() ? std::span<const std::byte>() : it->second;
}

void GgufFile::Forget(std::span<const std::byte> data) const {
  if (mapping_ != nullptr) mapping_->Forget(data);
}

const TensorView* GgufFile::Find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

namespace {
Error WrongKind(std::string_view key, std::string_view expected) {
  return Error(Code::kInvalidArgument, fmt::format("{} is not {}", key, expected));
}
}  // namespace

Result<std::optional<int64_t>> GgufFile::Int(std::string_view key) const {
  const auto it = metadata_.find(key);
  if (it == metadata_.end()) return std::optional<int64_t>();
  if (const auto* u = std::get_if<uint64_t>(&it->second); u && *u <= INT64_MAX) {
    return std::optional<int64_t>(static_cast<int64_t>(*u));
  }
  if (const auto* n = std::get_if<int64_t>(&it->second)) return std::optional<int64_t>(*n);
  return WrongKind(key, "an integer");
}

Result<std::optional<double>> GgufFile::Number(std::string_view key) const {
  const auto it = metadata_.find(key);
  if (it == metadata_.end()) return std::optional<double>();
  if (const auto* d = std::get_if<double>(&it->second)) return std::optional<double>(*d);
  const std::optional<int64_t> n = TRY(Int(key));
  return std::optional<double>(static_cast<double>(*n));
}

Result<std::optional<bool>> GgufFile::Bool(std::string_view key) const {
  const auto it = metadata_.find(key);
  if (it == metadata_.end()) return std::optional<bool>();
  if (const auto* b = std::get_if<bool>(&it->second)) return std::optional<bool>(*b);
  return WrongKind(key, "true or false");
}

Result<std::optional<std::string_view>> GgufFile::String(std::string_view key) const {
  const auto it = metadata_.find(key);
  if (it == metadata_.end()) return std::optional<std::string_view>();
  if (const auto* s = std::get_if<std::string_view>(&it->second)) {
    return std::optional<std::string_view>(*s);
  }
  return WrongKind(key, "a string");
}

Result<const GgufArray*> GgufFile::Array(std::string_view key) const {
  const auto it = metadata_.find(key);
  if (it == metadata_.end()) return static_cast<const GgufArray*>(nullptr);
  if (const auto* a = std::get_if<GgufArray>(&it->second)) return a;
  return WrongKind(key, "an array");
}

namespace {

template <class T>
void Put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void PutString(std::string& out, std::string_view text) {
  Put<uint64_t>(out, text.size());
  out += text;
}
size_t Aligned(size_t n) {
  return (n + kDefaultAlignment - 1) / kDefaultAlignment * kDefaultAlignment;
}

}  // namespace

void GgufWriter::Key(std::string_view key, GgufType type) {
  PutString(metadata_, key);
  Put(metadata_, static_cast<uint32_t>(type));
  ++metadata_count_;
}

void GgufWriter::U32(std::string_view key, uint32_t value) {
  Key(key, GgufType::kU32);
  Put(metadata_, value);
}
void GgufWriter::F32(std::string_view key, float value) {
  Key(key, GgufType::kF32);
  Put(metadata_, value);
}
void GgufWriter::Bool(std::string_view key, bool value) {
  Key(key, GgufType::kBool);
  Put<uint8_t>(metadata_, value);
}
void GgufWriter::String(std::string_view key, std::string_view value) {
  Key(key, GgufType::kString);
  PutString(metadata_, value);
}
void GgufWriter::Strings(std::string_view key, std::span<const std::string> values) {
  Key(key, GgufType::kArray);
  Put(metadata_, static_cast<uint32_t>(GgufType::kString));
  Put<uint64_t>(metadata_, values.size());
  for (const std::string& value : values) PutString(metadata_, value);
}
void GgufWriter::I32s(std::string_view key, std::span<const int32_t> values) {
  Key(key, GgufType::kArray);
  Put(metadata_, static_cast<uint32_t>(GgufType::kI32));
  Put<uint64_t>(metadata_, values.size());
  for (const int32_t value : values) Put(metadata_, value);
}
void GgufWriter::F32s(std::string_view key, std::span<const float> values) {
  Key(key, GgufType::kArray);
  Put(metadata_, static_cast<uint32_t>(GgufType::kF32));
  Put<uint64_t>(metadata_, values.size());
  for (const float value : values) Put(metadata_, value);
}

void GgufWriter::Copy(const GgufFile& from, std::string_view key) {
  const std::span<const std::byte> value = from.Raw(key);
  if (value.empty()) return;
  PutString(metadata_, key);
  metadata_.append(reinterpret_cast<const char*>(value.data()), value.size());
  ++metadata_count_;
}

void GgufWriter::Tensor(TensorView tensor) {
  const std::optional<int64_t> bytes = BytesOf(tensor.type, tensor.elements());
  CHECK_MSG(bytes && (tensor.data.empty() || *bytes == static_cast<int64_t>(tensor.data.size())),
            "tensor {}", tensor.name);
  tensors_.push_back(std::move(tensor));
}

void GgufWriter::OwnedTensor(std::string name, std::vector<float> values) {
  const std::vector<float>& kept = owned_.emplace_back(std::move(values));
  Tensor({std::move(name),
          DType::kF32,
          {static_cast<int64_t>(kept.size())},
          std::as_bytes(std::span(kept))});
}

std::string GgufWriter::Header() const {
  std::string out(kMagic);
  Put(out, kWriteVersion);
  Put<uint64_t>(out, tensors_.size());
  Put(out, metadata_count_);
  out += metadata_;
  uint64_t offset = 0;
  for (const TensorView& tensor : tensors_) {
    PutString(out, tensor.name);
    Put(out, static_cast<uint32_t>(tensor.shape.size()));
    for (auto d = tensor.shape.rbegin(); d != tensor.shape.rend(); ++d) {
      Put(out, static_cast<uint64_t>(*d));
    }
    Put(out, kernels::GgufId(tensor.type));
    Put(out, offset);
    offset += Aligned(static_cast<size_t>(*BytesOf(tensor.type, tensor.elements())));
  }
  out.resize(Aligned(out.size()), '\0');
  return out;
}

Status GgufWriter::Write(const std::string& path, const Produce& produce) const {
  io::AtomicFile file = TRY(io::AtomicFile::Create(path));
  TRY(file.Append(Header()));
  for (const TensorView& tensor : tensors_) {
    const auto bytes = static_cast<size_t>(*BytesOf(tensor.type, tensor.elements()));
    std::span<const std::byte> data = tensor.data;
    if (data.empty() && bytes > 0) data = TRY(produce(tensor));
    CHECK_MSG(data.size() == bytes, "tensor {}: {} bytes, not {}", tensor.name, data.size(), bytes);
    TRY(file.Append(data));
    TRY(file.Append(std::string(Aligned(bytes) - bytes, '\0')));
  }
  return file.Commit();
}

}  // namespace weir::model
