#include "engine/model/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "engine/kernels/quant/encode.h"
#include "engine/model/config_gguf.h"
#include "engine/model/gguf.h"
#include "engine/model/rope.h"

namespace weir::model {
namespace {

constexpr int64_t kRowsAtOnce = 1024;  // widened to f32 before they are rounded

class Exporter {
 public:
  Exporter(const ModelFiles& files, const ExportPlan& plan, kernels::ThreadPool* pool)
      : files_(files), plan_(plan), pool_(pool), row_(RowOf(files.config().architecture)) {}

  Status Run(const std::string& path) {
    TRY(Metadata());
    std::map<std::string, const TensorSpec*, std::less<>> by_name;
    const std::vector<TensorSpec> specs = TensorSpecs(files_.config(), Format::kGguf);
    for (const TensorSpec& spec : specs) {
      by_name[spec.name] = &spec;
      const Place& first = spec.places.front();
      writer_.Tensor(
          {spec.name, IsVector(first.slot) ? DType::kF32 : plan_.type(first), spec.shape, {}});
    }
    return writer_.Write(path, [&](const TensorView& tensor) {
      if (plan_.on_tensor) plan_.on_tensor(tensor);
      return Data(tensor, *by_name.find(tensor.name)->second);
    });
  }

 private:
  Status Metadata() {
    if (const GgufFile* from = files_.gguf()) {
      for (const auto& [key, value] : from->metadata()) {
        if (key == "general.file_type" || key == "general.quantization_version" ||
            key == "general.alignment") {
          continue;
        }
        writer_.Copy(*from, key);
      }
      for (const TensorView& tensor : from->tensors()) {
        if (IsConfigTensor(tensor.name)) writer_.Tensor(tensor);
      }
    } else {
      TRY(ConfigToGguf(files_.config(), writer_));
      writer_.String("general.name", files_.name());
      files_.tokenizer().ToGguf(writer_, files_.config().vocab_size);
      if (!files_.chat_template().empty()) {
        writer_.String("tokenizer.chat_template", files_.chat_template());
      }
    }
    writer_.U32("general.file_type", plan_.file_type);
    writer_.U32("general.quantization_version", 2);
    return {};
  }

  Result<std::span<const std::byte>> Data(const TensorView& tensor, const TensorSpec& spec) {
    out_.resize(static_cast<size_t>(*BytesOf(tensor.type, tensor.elements())));
    std::byte* to = out_.data();
    for (const Place& place : spec.places) {
      const int64_t bytes = *BytesOf(tensor.type, RowsOf(files_.config(), place.slot) *
                                                      ColumnsOf(files_.config(), place.slot));
      if (IsVector(place.slot)) {
        TRY(PutVector(place, to));
      } else {
        TRY(PutMatrix(place, tensor.type, to));
      }
      to += bytes;
    }
    if (kernels::StoredNonFinite(tensor.type, out_)) {
      return Error(Code::kInvalidArgument,
                   fmt::format("tensor {} has values beyond the range of {}", tensor.name,
                               NameOf(tensor.type)))
          .Hint("write F32 or BF16");
    }
    return std::span<const std::byte>(out_);
  }

  // Rows in the order that GGUF's readers expect.
  void PutRows(const Place& place, std::span<const std::byte> rows, int64_t row_bytes,
               std::byte* to) const {
    if (row_.gguf_neighbours && IsRotary(place.slot)) {
      PermuteRotaryRows(RotaryRows::kHalvesToNeighbours, files_.config().head_dim, row_bytes, rows,
                        to);
    } else {
      std::memcpy(to, rows.data(), rows.size());
    }
  }

  Status PutVector(const Place& place, std::byte* to) {
    const std::vector<float> values = TRY(files_.Vector(place));
    PutRows(place, std::as_bytes(std::span(values)), sizeof(float), to);
    return {};
  }

  Status PutMatrix(const Place& place, DType type, std::byte* to) {
    const kernels::Weights from = TRY(files_.Matrix(place, scratch_, pool_));
    const int64_t in_bytes = *BytesOf(from.type, from.in), out_bytes = *BytesOf(type, from.in);
    const auto* data = static_cast<const std::byte*>(from.data);
    if (type == from.type) {
      PutRows(place, {data, static_cast<size_t>(from.out * in_bytes)}, in_bytes, to);
      files_.Forget(place);
      return {};
    }
    rounded_.resize(static_cast<size_t>(from.out * out_bytes));
    const float* importance = plan_.importance ? plan_.importance(place) : nullptr;
    for (int64_t row = 0; row < from.out; row += kRowsAtOnce) {
      const int64_t rows = std::min(kRowsAtOnce, from.out - row);
      wide_.resize(static_cast<size_t>(rows * from.in));
      kernels::ToF32(from.type, data + row * in_bytes, rows * from.in, wide_.data());
      kernels::Quantize(pool_, type, wide_.data(), rows, from.in, importance,
                        rounded_.data() + row * out_bytes);
    }
    PutRows(place, rounded_, out_bytes, to);
    files_.Forget(place);
    return {};
  }

  const ModelFiles& files_;
  const ExportPlan& plan_;
  kernels::ThreadPool* pool_;
  const ArchitectureRow& row_;
  GgufWriter writer_;
  std::vector<std::byte> scratch_, rounded_, out_;
  std::vector<float> wide_;
};

}  // namespace

uint32_t FileTypeOf(DType type) {
  switch (type) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ4_1:
      return 3;
    case DType::kQ8_0:
      return 7;
    case DType::kQ5_0:
      return 8;
    case DType::kQ5_1:
      return 9;
    case DType::kQ2_K:
      return 10;
    case DType::kQ3_K:
      return 11;
    case DType::kQ4_K:
      return 14;
    case DType::kQ5_K:
      return 16;
    case DType::kQ6_K:
      return 18;
    case DType::kBF16:
      return 32;
  }
  return 0;
}

Status ExportGguf(const ModelFiles& files, const std::string& path, const ExportPlan& plan,
                  kernels::ThreadPool* pool) {
  return Exporter(files, plan, pool).Run(path);
}

Status ExportGguf(const ModelFiles& files, const std::string& path, std::optional<DType> type,
                  kernels::ThreadPool* pool) {
  ExportPlan plan;
  plan.type = [&](const Place& place) {
    const Stored& stored = files.At(place);
    if (!type) return stored.type;
    return stored.columns % BlockElements(*type) == 0 ? *type : DType::kF16;
  };
  plan.file_type = FileTypeOf(type.value_or(files.At({Slot::kEmbedding}).type));
  return ExportGguf(files, path, plan, pool);
}

}  // namespace weir::model
