// Reading walks the document once by its known keys; writing appends to one string.
#include "request/runtime/oip/contract.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "base/utf8.h"
#include "request/runtime/oip/json_data.h"
#include "request/runtime/oip/json_text.h"
#include "request/runtime/oip/limits.h"
#include "request/runtime/oip/loose_json.h"
#include "request/runtime/oip/usual_json.h"

namespace colony::runtime::oip {
namespace {

namespace dom = simdjson::dom;

Error wrong(std::string_view path, dom::element value, std::string_view expected) {
  return invalid_argument(fmt::format("{}: {} given, expected {}", path, shown(value), expected));
}
Error wrong(const JsonPath& path, dom::element value, std::string_view expected) {
  return wrong(path.text(), value, expected);
}

class RequestReader {
 public:
  RequestReader(std::shared_ptr<std::string> body, ParsedInfer& to) : body_(std::move(body)), out_(to) {}

  Result<void> read(std::string_view json, std::string_view tail) {
    tail_ = tail;
    TRY(const dom::element root, parse(json));
    dom::object top;
    if (root.get_object().get(top) != simdjson::SUCCESS) return fail(wrong("request", root, "a JSON object"));
    dom::element inputs_value;
    bool has_inputs = false;
    dom::element outputs_value;
    bool has_outputs = false;
    for (const dom::key_value_pair field : top) {
      if (field.key == "inputs") {
        inputs_value = field.value;
        has_inputs = true;
      } else if (field.key == "outputs") {
        outputs_value = field.value;
        has_outputs = true;
      } else if (field.key == "id") {
        std::string_view id;
        if (field.value.get_string().get(id) != simdjson::SUCCESS) return fail(wrong("id", field.value, "a string"));
        out_.wish.id = id;
        out_.request.id = id;
      } else if (field.key == "parameters") {
        TRY_VOID(request_parameters(field.value));
      }
    }
    if (!has_inputs)
      return fail(invalid_argument(
          "inputs: missing; a request is {\"inputs\": [{\"name\", \"shape\", \"datatype\", \"data\"}]}"));
    TRY_VOID(inputs(inputs_value));
    if (has_outputs) TRY_VOID(outputs(outputs_value));
    if (!tail_.empty())
      return fail(invalid_argument(fmt::format("{} bytes are left after the binary data of all inputs", tail_.size())));
    out_.request.storage = std::move(body_);
    return {};
  }

 private:
  // The parser reads beyond the end of the text, never outside the string's memory: room for that is made here.
  Result<dom::element> parse(std::string_view json) {
    // WHY thread_local: its buffers are the only large allocation of a small request. Given back when they became large.
    thread_local dom::parser parser(kMaxParser);
    const bool whole = json.size() == body_->size();
    if (whole && body_->capacity() - body_->size() < simdjson::SIMDJSON_PADDING)
      body_->reserve(body_->size() + simdjson::SIMDJSON_PADDING);
    if (whole) json = *body_;
    if (parser.capacity() > kKeptParser && json.size() < kKeptParser) parser = dom::parser(kMaxParser);
    dom::element root;
    auto code = parser.parse(json.data(), json.size(), !whole).get(root);
    if (code != simdjson::SUCCESS) {
      std::string loose;
      text_.loosened = loosen(json, loose);
      if (text_.loosened) code = parser.parse(loose).get(root);
    }
    if (code == simdjson::EMPTY) return fail(invalid_argument("the request has no body, expected a JSON object"));
    if (code != simdjson::SUCCESS)
      return fail(invalid_argument(fmt::format("the request is not valid JSON: {}", simdjson::error_message(code))));
    text_.size = json.size();
    return root;
  }

  Result<void> request_parameters(dom::element value) {
    dom::object parameters;
    if (value.get_object().get(parameters) != simdjson::SUCCESS) return fail(wrong("parameters", value, "an object"));
    for (const dom::key_value_pair p : parameters) {
      if (p.key != "binary_data_output") continue;
      if (p.value.get_bool().get(out_.wish.binary) != simdjson::SUCCESS)
        return fail(wrong("parameters.binary_data_output", p.value, "true or false"));
    }
    return {};
  }

  Result<void> inputs(dom::element value) {
    dom::array list;
    if (value.get_array().get(list) != simdjson::SUCCESS) return fail(wrong("inputs", value, "a list"));
    size_t i = 0;
    for (const dom::element e : list) {
      if (i == kMaxTensors) return fail(invalid_argument(fmt::format("inputs: more than {} tensors", kMaxTensors)));
      TRY_VOID(input(e, {"inputs", i++}));
    }
    return {};
  }

  Result<void> input(dom::element value, const JsonPath& path) {
    dom::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS) return fail(wrong(path, value, "an object"));
    Tensor& tensor = out_.request.inputs.emplace_back();
    bool has_name = false, has_shape = false, has_type = false, has_data = false;
    std::optional<uint64_t> binary;
    dom::element data;
    for (const dom::key_value_pair field : object) {
      if (field.key == "name") {
        TRY_VOID(text(field.value, path.at(".name"), tensor.name));
        has_name = true;
      } else if (field.key == "shape") {
        TRY_VOID(shape(field.value, path.at(".shape"), tensor.shape));
        has_shape = true;
      } else if (field.key == "datatype") {
        TRY(tensor.type, datatype(field.value, path.at(".datatype")));
        has_type = true;
      } else if (field.key == "data") {
        data = field.value;
        has_data = true;
      } else if (field.key == "parameters") {
        TRY(binary, input_parameters(field.value, path));
      }
    }
    if (!has_name) return fail(invalid_argument(path.at(".name: missing").text()));
    if (!has_type) return fail(invalid_argument(path.at(".datatype: missing (FP32, INT64, BYTES, ...)").text()));
    if (!has_shape) return fail(invalid_argument(path.at(".shape: missing (a list of dimensions)").text()));
    auto count = element_count(tensor.shape);
    if (!count) return fail(std::move(count.error()).within(path.text()));
    if (binary) {
      if (has_data)
        return fail(
            invalid_argument(path.at(": has data and parameters.binary_data_size; expected one of the two").text()));
      return binary_input(tensor, *binary, path);
    }
    if (!has_data)
      return fail(invalid_argument(
          path.at(".data: missing (or parameters.binary_data_size with the data after the JSON)").text()));
    TRY(auto bytes, read_data(data, tensor.type, tensor.shape, *count, path.at(".data"), text_));
    auto owner = std::make_shared<std::string>(std::move(bytes));
    tensor.data = *owner;
    tensor.owner = std::move(owner);
    return {};
  }

  Result<void> binary_input(Tensor& tensor, uint64_t size, const JsonPath& path) {
    if (size > tail_.size())
      return fail(invalid_argument(fmt::format("{}.parameters.binary_data_size: {} given, but {} bytes follow the JSON",
                                               path.text(), size, tail_.size())));
    tensor.data = tail_.substr(0, size);
    tail_.remove_prefix(size);
    if (auto ok = check_data(tensor); !ok) return fail(std::move(ok.error()).within(path.text()));
    return {};
  }

  Result<std::optional<uint64_t>> input_parameters(dom::element value, const JsonPath& path) {
    dom::object parameters;
    if (value.get_object().get(parameters) != simdjson::SUCCESS)
      return fail(wrong(path.at(".parameters"), value, "an object"));
    std::optional<uint64_t> binary;
    for (const dom::key_value_pair p : parameters) {
      if (p.key == "binary_data_size") {
        uint64_t size = 0;
        if (p.value.get_uint64().get(size) != simdjson::SUCCESS)
          return fail(wrong(path.at(".parameters.binary_data_size"), p.value, "a number of bytes"));
        binary = size;
      } else if (p.key == "shared_memory_region") {
        return fail(unimplemented(
            path.at(".parameters.shared_memory_region: shared memory regions are not offered here; send the data")
                .text()));
      }
    }
    return binary;
  }

  Result<void> outputs(dom::element value) {
    dom::array list;
    if (value.get_array().get(list) != simdjson::SUCCESS) return fail(wrong("outputs", value, "a list"));
    size_t i = 0;
    for (const dom::element e : list) {
      if (i == kMaxTensors) return fail(invalid_argument(fmt::format("outputs: more than {} tensors", kMaxTensors)));
      const JsonPath path{"outputs", i++};
      dom::object object;
      if (e.get_object().get(object) != simdjson::SUCCESS) return fail(wrong(path, e, "an object"));
      std::string& name = out_.request.outputs.emplace_back();
      std::optional<bool> binary;
      for (const dom::key_value_pair field : object) {
        if (field.key == "name") {
          TRY_VOID(text(field.value, path.at(".name"), name));
        } else if (field.key == "parameters") {
          TRY(binary, output_parameters(field.value, path));
        }
      }
      if (name.empty()) return fail(invalid_argument(path.at(".name: missing").text()));
      if (binary) out_.wish.binary_by_output.emplace_back(name, *binary);
    }
    std::ranges::sort(out_.wish.binary_by_output);
    return check_outputs(out_.request.outputs);
  }

  Result<std::optional<bool>> output_parameters(dom::element value, const JsonPath& path) {
    dom::object parameters;
    if (value.get_object().get(parameters) != simdjson::SUCCESS)
      return fail(wrong(path.at(".parameters"), value, "an object"));
    std::optional<bool> binary;
    for (const dom::key_value_pair p : parameters) {
      if (p.key == "binary_data") {
        bool b = false;
        if (p.value.get_bool().get(b) != simdjson::SUCCESS)
          return fail(wrong(path.at(".parameters.binary_data"), p.value, "true or false"));
        binary = b;
      } else if (p.key == "classification") {
        return fail(unimplemented(
            path.at(".parameters.classification: not offered here; ask for the tensor and rank it yourself").text()));
      } else if (p.key == "shared_memory_region") {
        return fail(unimplemented(
            path.at(".parameters.shared_memory_region: shared memory regions are not offered here").text()));
      }
    }
    return binary;
  }

  static Result<void> text(dom::element value, const JsonPath& path, std::string& to) {
    std::string_view s;
    if (value.get_string().get(s) != simdjson::SUCCESS) return fail(wrong(path, value, "a string"));
    to = s;
    return {};
  }

  static Result<void> shape(dom::element value, const JsonPath& path, std::vector<int64_t>& to) {
    dom::array list;
    if (value.get_array().get(list) != simdjson::SUCCESS) return fail(wrong(path, value, "a list of dimensions"));
    to.clear();
    to.reserve(std::min<size_t>(list.size(), kMaxDimensions));
    for (const dom::element e : list) {
      int64_t d = 0;
      if (e.get_int64().get(d) != simdjson::SUCCESS || d < 0)
        return fail(wrong(fmt::format("{}[{}]", path.text(), to.size()), e, "a whole number of 0 or more"));
      if (to.size() == kMaxDimensions)
        return fail(invalid_argument(fmt::format("{}: more than {} dimensions", path.text(), kMaxDimensions)));
      to.push_back(d);
    }
    return {};
  }

  static Result<DataType> datatype(dom::element value, const JsonPath& path) {
    std::string_view name;
    const auto type = value.get_string().get(name) == simdjson::SUCCESS ? parse_data_type(name) : std::nullopt;
    if (!type)
      return fail(wrong(
          path, value,
          "one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES"));
    return *type;
  }

  static constexpr size_t kMaxParser = size_t{4} << 30;   // simdjson's own limit: offsets are 32 bits
  static constexpr size_t kKeptParser = size_t{1} << 20;  // a larger buffer is not kept for a smaller request

  std::shared_ptr<std::string> body_;
  std::string_view tail_;
  JsonText text_;
  ParsedInfer& out_;
};

bool wants_binary(const ReplyWish& wish, std::string_view output) {
  const auto& by_output = wish.binary_by_output;
  const auto it =
      std::ranges::lower_bound(by_output, output, {}, [](const auto& w) { return std::string_view(w.first); });
  return it != by_output.end() && it->first == output ? it->second : wish.binary;
}

Error too_large() {
  return invalid_argument(fmt::format("the reply would have more than {} bytes; ask for fewer outputs", kMaxReply));
}

Result<void> put_data(JsonWriter& out, const Tensor& t) {
  if (t.type == DataType::kFp16 || t.type == DataType::kBf16)
    return fail(
        invalid_argument(fmt::format("output '{}' is {}, which has no JSON form: ask for it with "
                                     "parameters.binary_data_output or outputs[].parameters.binary_data",
                                     brief(t.name), to_string(t.type))));
  out.text("[");
  if (t.type == DataType::kBytes) {
    bool first = true;
    for (const std::string_view element : bytes_elements(t.data)) {
      if (!is_utf8(element))
        return fail(
            invalid_argument(fmt::format("output '{}' holds bytes that are no UTF-8 and have no JSON form: ask for "
                                         "it with parameters.binary_data_output",
                                         brief(t.name))));
      if (out.size() > kMaxReply) return fail(too_large());
      if (!std::exchange(first, false)) out.text(",");
      out.string(element);
    }
  } else {
    // In pieces: how long the text becomes is only known when it is there.
    constexpr size_t kPiece = size_t{1} << 24;
    for (size_t at = 0; at < t.data.size(); at += kPiece) {
      if (at > 0) {
        if (out.size() > kMaxReply) return fail(too_large());
        out.text(",");
      }
      out.elements(t.type, t.data.substr(at, kPiece));
    }
  }
  out.text("]");
  return {};
}

}  // namespace

Result<void> parse_infer(std::shared_ptr<std::string> body, std::optional<uint64_t> json_length, ParsedInfer& to) {
  if (!json_length && read_usual(*body, to)) {
    to.request.storage = std::move(body);
    return {};
  }
  to = {};
  return parse_any_infer(std::move(body), json_length, to);
}

Result<void> parse_any_infer(std::shared_ptr<std::string> body, std::optional<uint64_t> json_length, ParsedInfer& to) {
  const uint64_t length = json_length.value_or(body->size());
  if (length > body->size())
    return fail(invalid_argument(
        fmt::format("Inference-Header-Content-Length: {} given, but the body has {} bytes", length, body->size())));
  RequestReader reader(body, to);
  // A growing body would move the binary tensors, so room for the parser is only made when all of it is JSON.
  return reader.read(std::string_view(*body).substr(0, length), std::string_view(*body).substr(length));
}

Result<void> parse_raw_infer(std::shared_ptr<std::string> body, const ModelInfo& model, ParsedInfer& to) {
  if (model.inputs.size() != 1 || model.any_tensor)
    return fail(
        invalid_argument(fmt::format("Inference-Header-Content-Length: 0 given, which stands for a body that is the "
                                     "data of the only input, but model '{}' has {}",
                                     model.name, model.any_tensor ? "any" : std::to_string(model.inputs.size()))));
  const TensorInfo& input = model.inputs.front();
  to.wish.binary = true;
  if (input.type == DataType::kBytes) {
    std::string data;
    append_bytes_element(data, *body);
    to.request.inputs.push_back(
        own_tensor(input.name, input.type, std::vector<int64_t>(input.shape.size(), 1), std::move(data)));
    return {};
  }
  uint64_t known = element_size(input.type);
  for (const int64_t d : input.shape)
    if (d > 0) known *= static_cast<uint64_t>(d);
  const auto free = std::ranges::count_if(input.shape, [](int64_t d) { return d < 0; });
  if (free > 1 || known == 0 || body->size() % known != 0 || (free == 0 && body->size() != known))
    return fail(invalid_argument(fmt::format("{} bytes are no whole number of input '{}' {} {}", body->size(),
                                             input.name, to_string(input.type), shape_text(input.shape))));
  Tensor tensor{input.name, input.type, input.shape, *body, nullptr};
  for (int64_t& d : tensor.shape)
    if (d < 0) d = static_cast<int64_t>(body->size() / known);
  to.request.inputs.push_back(std::move(tensor));
  to.request.storage = std::move(body);
  return {};
}

Result<std::optional<size_t>> write_infer(const InferReply& reply, const ReplyWish& wish, std::string& to) {
  size_t binary_bytes = 0;
  bool binary = false;
  // A usual reply grows no more: what stands around numbers, and numbers of usual length.
  size_t room = 96 + reply.model.size() + reply.version.size() + wish.id.size(), bytes = 0;
  for (const Tensor& t : reply.outputs) {
    room += 96 + t.name.size() + 2 * t.data.size();
    bytes += t.data.size();
  }
  if (bytes > kMaxReply) return fail(too_large());
  to.clear();
  to.reserve(room);
  JsonWriter out(to);
  out.text("{\"model_name\":");
  out.string(reply.model);
  out.text(",\"model_version\":");
  out.string(reply.version);
  if (!wish.id.empty()) {
    out.text(",\"id\":");
    out.string(wish.id);
  }
  out.text(",\"outputs\":[");
  for (size_t i = 0; i < reply.outputs.size(); ++i) {
    const Tensor& t = reply.outputs[i];
    out.text(i > 0 ? ",{\"name\":" : "{\"name\":");
    out.string(t.name);
    out.text(",\"datatype\":\"");
    out.text(to_string(t.type));
    out.text("\",\"shape\":");
    out.shape(t.shape);
    if (wants_binary(wish, t.name)) {
      out.text(",\"parameters\":{\"binary_data_size\":");
      out.number(t.data.size());
      out.text("}}");
      binary_bytes += t.data.size();
      binary = true;
    } else {
      out.text(",\"data\":");
      TRY_VOID(put_data(out, t));
      out.text("}");
    }
  }
  out.text("]}");
  out.flush();
  if (to.size() > kMaxReply - binary_bytes) return fail(too_large());
  if (!binary) return std::nullopt;
  const size_t json_length = to.size();
  to.reserve(json_length + binary_bytes);
  for (const Tensor& t : reply.outputs)
    if (wants_binary(wish, t.name)) to += t.data;
  return json_length;
}

}  // namespace colony::runtime::oip
