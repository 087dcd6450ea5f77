// ModelInferRequest and ModelInferResponse by hand: tensors are views into the request's bytes, and leave with one copy into
// the reply's. Only typed contents, which must be converted anyway, go through the generated code. What the generated code
// refuses is refused here too (fuzz target oip_message compares them).
#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"
#include "inference/grpc_service.pb.h"
#include "request/runtime/oip/contract.h"
#include "request/runtime/oip/limits.h"
#include "request/runtime/oip/proto_wire.h"

namespace colony::runtime::oip {
namespace {

template <class T>
void append_raw(std::string& out, T v) {
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

// Copies typed contents, narrowing each value to T.
template <class T, class Values>
Result<std::string> narrowed(const Values& values, const std::string& path, DataType type) {
  std::string out;
  out.reserve(static_cast<size_t>(values.size()) * sizeof(T));
  for (int i = 0; i < values.size(); ++i) {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      if (!std::in_range<T>(values[i]))
        return fail(
            invalid_argument(fmt::format("{}[{}]: {} does not fit {} ({} to {})", path, i, values[i], to_string(type),
                                         +std::numeric_limits<T>::min(), +std::numeric_limits<T>::max())));
    }
    append_raw(out, static_cast<T>(values[i]));
  }
  return out;
}

Result<std::string> typed_contents(const inference::InferTensorContents& c, DataType type, uint64_t count,
                                   const std::string& path) {
  const auto counted = [&](const char* field, const auto& values) -> Result<std::string> {
    std::string at = fmt::format("{}.contents.{}", path, field);
    if (static_cast<uint64_t>(values.size()) != count)
      return fail(invalid_argument(fmt::format("{}: {} elements, but the shape has {} ({} goes into {})", at,
                                               values.size(), count, to_string(type), field)));
    return at;
  };
  switch (type) {
    case DataType::kBool: {
      TRY(const auto at, counted("bool_contents", c.bool_contents()));
      return narrowed<bool>(c.bool_contents(), at, type);
    }
    case DataType::kInt8: {
      TRY(const auto at, counted("int_contents", c.int_contents()));
      return narrowed<int8_t>(c.int_contents(), at, type);
    }
    case DataType::kInt16: {
      TRY(const auto at, counted("int_contents", c.int_contents()));
      return narrowed<int16_t>(c.int_contents(), at, type);
    }
    case DataType::kInt32: {
      TRY(const auto at, counted("int_contents", c.int_contents()));
      return narrowed<int32_t>(c.int_contents(), at, type);
    }
    case DataType::kInt64: {
      TRY(const auto at, counted("int64_contents", c.int64_contents()));
      return narrowed<int64_t>(c.int64_contents(), at, type);
    }
    case DataType::kUint8: {
      TRY(const auto at, counted("uint_contents", c.uint_contents()));
      return narrowed<uint8_t>(c.uint_contents(), at, type);
    }
    case DataType::kUint16: {
      TRY(const auto at, counted("uint_contents", c.uint_contents()));
      return narrowed<uint16_t>(c.uint_contents(), at, type);
    }
    case DataType::kUint32: {
      TRY(const auto at, counted("uint_contents", c.uint_contents()));
      return narrowed<uint32_t>(c.uint_contents(), at, type);
    }
    case DataType::kUint64: {
      TRY(const auto at, counted("uint64_contents", c.uint64_contents()));
      return narrowed<uint64_t>(c.uint64_contents(), at, type);
    }
    case DataType::kFp32: {
      TRY(const auto at, counted("fp32_contents", c.fp32_contents()));
      return narrowed<float>(c.fp32_contents(), at, type);
    }
    case DataType::kFp64: {
      TRY(const auto at, counted("fp64_contents", c.fp64_contents()));
      return narrowed<double>(c.fp64_contents(), at, type);
    }
    case DataType::kBytes: {
      TRY_VOID(counted("bytes_contents", c.bytes_contents()));
      std::string out;
      for (const auto& element : c.bytes_contents()) append_bytes_element(out, element);
      return out;
    }
    case DataType::kFp16:
    case DataType::kBf16: break;
  }
  return fail(invalid_argument(
      fmt::format("{}: {} has no typed contents: send it in raw_input_contents", path, to_string(type))));
}

// Of a tensor's parameters only two mean something here, and that is no.
constexpr std::string_view kRefused[] = {"shared_memory_region", "classification"};

class RequestReader {
 public:
  explicit RequestReader(InferRequest& to) : request_(to) {}

  Result<void> read(std::string_view message) {
    WireReader reader(message);
    for (WireField f; reader.next(f);) {
      if (f.type != WireType::kBytes) continue;
      switch (f.number) {
        case 1: TRY_VOID(text(f.bytes, request_.model)); break;
        case 2: TRY_VOID(text(f.bytes, request_.version)); break;
        case 3: TRY_VOID(text(f.bytes, request_.id)); break;
        case 5: TRY_VOID(input(f.bytes)); break;
        case 6: TRY_VOID(output(f.bytes)); break;
        case 7: TRY_VOID(raw(f.bytes)); break;
        default: break;
      }
    }
    if (!reader.ok()) return fail(broken());
    TRY_VOID(check_outputs(request_.outputs));
    return fill_in();
  }

 private:
  struct Contents {
    size_t input;
    std::string_view bytes;
  };

  // Usually they come behind the inputs.
  Result<void> raw(std::string_view bytes) {
    if (raws_ == kMaxTensors) return fail(too_many("raw_input_contents", kMaxTensors, "elements"));
    if (raws_ < request_.inputs.size())
      request_.inputs[raws_].data = bytes;
    else
      early_.push_back({raws_, bytes});
    ++raws_;
    return {};
  }

  static Error too_many(std::string_view where, size_t most, std::string_view what) {
    return invalid_argument(fmt::format("{}: more than {} {}", where, most, what));
  }
  static Error broken() { return invalid_argument("the message is no inference.ModelInferRequest"); }

  static Result<void> text(std::string_view bytes, std::string& to) {
    if (!is_utf8(bytes)) return fail(broken());
    to = bytes;
    return {};
  }

  Result<void> input(std::string_view message) {
    const size_t i = request_.inputs.size();
    if (i == kMaxTensors) return fail(too_many("inputs", kMaxTensors, "tensors"));
    Tensor& tensor = request_.inputs.emplace_back();
    std::string_view datatype;
    WireReader reader(message);
    for (WireField f; reader.next(f);) {
      if (f.number == 3) {
        TRY_VOID(dimensions(f, tensor.shape, i));
      } else if (f.type == WireType::kBytes) {
        switch (f.number) {
          case 1: TRY_VOID(text(f.bytes, tensor.name)); break;
          case 2: datatype = f.bytes; break;
          case 4: TRY_VOID(parameter(f.bytes, "inputs", i)); break;
          case 5:
            if (contents_.size() == kMaxTensors) return fail(too_many("inputs", kMaxTensors, "contents"));
            contents_.push_back({i, f.bytes});
            break;
          default: break;
        }
      }
    }
    if (!reader.ok() || !is_utf8(datatype)) return fail(broken());
    if (tensor.name.empty()) return fail(invalid_argument(fmt::format("inputs[{}].name: missing", i)));
    const auto type = parse_data_type(datatype);
    if (!type)
      return fail(invalid_argument(
          fmt::format("inputs[{}].datatype: '{}' given, expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, "
                      "INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES",
                      i, brief(datatype))));
    tensor.type = *type;
    return {};
  }

  Result<void> output(std::string_view message) {
    const size_t i = request_.outputs.size();
    if (i == kMaxTensors) return fail(too_many("outputs", kMaxTensors, "tensors"));
    std::string& name = request_.outputs.emplace_back();
    WireReader reader(message);
    for (WireField f; reader.next(f);) {
      if (f.type != WireType::kBytes) continue;
      if (f.number == 1) TRY_VOID(text(f.bytes, name));
      if (f.number == 2) TRY_VOID(parameter(f.bytes, "outputs", i));
    }
    return reader.ok() ? Result<void>() : fail(broken());
  }

  static Result<void> dimensions(const WireField& f, std::vector<int64_t>& shape, size_t i) {
    const auto add = [&](uint64_t value) -> Result<void> {
      if (shape.size() == kMaxDimensions)
        return fail(too_many(fmt::format("inputs[{}].shape", i), kMaxDimensions, "dimensions"));
      shape.push_back(static_cast<int64_t>(value));
      return {};
    };
    if (f.type == WireType::kVarint) return add(f.value);
    if (f.type != WireType::kBytes) return {};
    WireReader packed(f.bytes);
    while (!packed.at_end()) {
      uint64_t value = 0;
      if (!packed.varint(value)) return fail(broken());
      TRY_VOID(add(value));
    }
    return {};
  }

  // One entry of a map: {key = 1, value = 2}.
  static Result<void> parameter(std::string_view entry, std::string_view list, size_t i) {
    std::string_view key;
    WireReader reader(entry);
    for (WireField f; reader.next(f);)
      if (f.number == 1 && f.type == WireType::kBytes) key = f.bytes;
    if (!reader.ok() || !is_utf8(key)) return fail(broken());
    for (const std::string_view refused : kRefused)
      if (key == refused)
        return fail(unimplemented(fmt::format("{}[{}].parameters.{}: not offered here", list, i, key)));
    return {};
  }

  // Where the tensors' data is.
  Result<void> fill_in() {
    auto& inputs = request_.inputs;
    if (raws_ > 0 && raws_ != inputs.size())
      return fail(invalid_argument(
          fmt::format("raw_input_contents: {} elements for {} inputs, expected one for each", raws_, inputs.size())));
    if (raws_ > 0 && !contents_.empty())
      return fail(invalid_argument(
          fmt::format("inputs[{}]: has contents and raw_input_contents; expected one of the two for the whole request",
                      contents_.front().input)));
    for (const Contents& c : early_) inputs[c.input].data = c.bytes;
    auto next = contents_.begin();
    for (size_t i = 0; i < inputs.size(); ++i) {
      Tensor& tensor = inputs[i];
      auto count = element_count(tensor.shape);
      if (!count) return fail(std::move(count.error()).within(fmt::format("inputs[{}]", i)));
      if (raws_ > 0) {
        if (auto ok = check_data(tensor); !ok) return fail(std::move(ok.error()).within(fmt::format("inputs[{}]", i)));
        continue;
      }
      inference::InferTensorContents typed;  // several in one input are one, so says protobuf
      for (; next != contents_.end() && next->input == i; ++next)
        if (!typed.MergeFromString(std::string(next->bytes))) return fail(broken());
      TRY(auto bytes, typed_contents(typed, tensor.type, *count, fmt::format("inputs[{}]", i)));
      auto owner = std::make_shared<std::string>(std::move(bytes));
      tensor.data = *owner;
      tensor.owner = std::move(owner);
    }
    return {};
  }

  InferRequest& request_;
  size_t raws_ = 0;  // raw contents, and where they are that came before their input
  std::vector<Contents> early_, contents_;
};

// Numbers of ModelInferResponse's fields, of which a ModelInferRequest has the first three too, and of its
// InferOutputTensor.
enum : uint32_t { kModel = 1, kVersion = 2, kId = 3, kOutputs = 5, kRaw = 6 };
enum : uint32_t { kName = 1, kDatatype = 2, kShape = 3 };

size_t packed_size(const std::vector<int64_t>& shape) {
  size_t n = 0;
  for (const int64_t d : shape) n += varint_size(static_cast<uint64_t>(d));
  return n;
}

size_t output_size(const Tensor& t) {
  size_t n = bytes_field_size(to_string(t.type).size());
  if (!t.name.empty()) n += bytes_field_size(t.name.size());
  if (!t.shape.empty()) n += bytes_field_size(packed_size(t.shape));
  return n;
}

size_t response_size(const InferReply& reply, const std::string& id) {
  size_t n = 0;
  for (const std::string* s : {&reply.model, &reply.version, &id})
    if (!s->empty()) n += bytes_field_size(s->size());
  for (const Tensor& t : reply.outputs) n += bytes_field_size(output_size(t)) + bytes_field_size(t.data.size());
  return n;
}

void put_response(WireWriter& out, const InferReply& reply, const std::string& id) {
  if (!reply.model.empty()) out.bytes_field(kModel, reply.model);
  if (!reply.version.empty()) out.bytes_field(kVersion, reply.version);
  if (!id.empty()) out.bytes_field(kId, id);
  for (const Tensor& t : reply.outputs) {
    out.begin_bytes(kOutputs, output_size(t));
    if (!t.name.empty()) out.bytes_field(kName, t.name);
    out.bytes_field(kDatatype, to_string(t.type));
    if (t.shape.empty()) continue;
    out.begin_bytes(kShape, packed_size(t.shape));
    for (const int64_t d : t.shape) out.varint(static_cast<uint64_t>(d));
  }
  for (const Tensor& t : reply.outputs) out.bytes_field(kRaw, t.data);
}

// `put` writes exactly `size` bytes.
template <class F>
Result<void> write(std::string& to, size_t size, F put) {
  if (size > kMaxReply) [[unlikely]]
    return fail(invalid_argument(
        fmt::format("the reply would have {} bytes, more than {}; ask for fewer outputs", size, kMaxReply)));
  // WHY its own `size`: the library passes its capacity instead (libstdc++ 12).
  to.resize_and_overwrite(size, [&](char* begin, size_t) {
    WireWriter out(begin);
    put(out);
    CHECK(out.at() == begin + size);
    return size;
  });
  return {};
}

}  // namespace

Result<void> parse_model_infer(std::string_view message, std::shared_ptr<void> storage, InferRequest& to) {
  to.storage = std::move(storage);
  return RequestReader(to).read(message);
}

AskedModel peek_model_infer(std::string_view message) {
  AskedModel out;
  WireReader reader(message);
  for (WireField f; reader.next(f);) {
    if (f.type != WireType::kBytes || f.number < kModel || f.number > kId || !is_utf8(f.bytes)) continue;
    (f.number == kModel ? out.name : f.number == kVersion ? out.version : out.id) = f.bytes;
  }
  return out;
}

Result<void> write_model_infer(const InferReply& reply, const std::string& id, std::string& to) {
  const size_t size = response_size(reply, id);
  return write(to, size, [&](WireWriter& out) { put_response(out, reply, id); });
}

Result<void> write_stream_infer(const InferReply& reply, const std::string& id, std::string& to) {
  constexpr uint32_t kInferResponse = 2;
  const size_t size = response_size(reply, id);
  return write(to, bytes_field_size(size), [&](WireWriter& out) {
    out.begin_bytes(kInferResponse, size);
    put_response(out, reply, id);
  });
}

std::string write_stream_error(const Error& error, const std::string& id) {
  inference::ModelStreamInferResponse out;
  out.set_error_message(error.message);
  out.mutable_infer_response()->set_id(id);
  return out.SerializeAsString();
}

}  // namespace colony::runtime::oip
