// The v1 form that older clients use: `instances` (a list of rows; with several inputs each row is an object) or `inputs`
// (whole tensors, by name). Shapes come from the nesting, datatypes from the model; for a model that takes anything, from
// the values themselves. Not a hot path.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "request/runtime/oip/contract.h"
#include "request/runtime/oip/json_text.h"
#include "request/runtime/oip/limits.h"
#include "request/runtime/oip/loose_json.h"
#include "request/runtime/oip/real.h"

namespace colony::runtime::oip {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 32;    // LIMIT: dimensions of a tensor in this form
constexpr size_t kMaxNesting = 64;  // LIMIT: lists and objects in one another; what walks the document calls itself
constexpr size_t kShown = 60;

// Ends when there is enough for an error: a value may be all of a large request.
void show(const json& v, std::string& out) {
  if (out.size() > kShown) return;
  if (v.is_string()) {
    append_json_string(out, brief(v.get_ref<const std::string&>(), kShown));
  } else if (v.is_number_float()) {
    const auto number = v.get<double>();
    append_json_elements(out, DataType::kFp64, {reinterpret_cast<const char*>(&number), sizeof number});
  } else if (v.is_structured()) {
    out += v.is_array() ? '[' : '{';
    for (auto it = v.begin(); it != v.end() && out.size() <= kShown; ++it) {
      if (it != v.begin()) out += ',';
      if (v.is_object()) {
        append_json_string(out, brief(it.key(), kShown));
        out += ':';
      }
      show(*it, out);
    }
    out += v.is_array() ? ']' : '}';
  } else {
    out += v.dump();
  }
}

std::string shown(const json& v) {
  std::string text;
  show(v, text);
  return brief(text, kShown);
}

bool too_deep(std::string_view text) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      in_string = !in_string;
    } else if (in_string) {
      i += c == '\\';
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxNesting) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

// loosen() made objects of bare words.
void restore_words(json& v) {
  if (v.is_object() && v.size() == 1 && v.begin().key().empty() && v.begin()->is_number_integer()) {
    v = bare_word(v.begin()->get<int64_t>());
  } else if (v.is_structured()) {
    for (json& e : v) restore_words(e);
  }
}

Error wrong(std::string_view path, const json& v, std::string_view expected) {
  return invalid_argument(fmt::format("{}: {} given, expected {}", path, shown(v), expected));
}

template <class T>
void append_raw(std::string& out, T v) {
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}

template <class T>
bool append_integer(const json& v, std::string& out) {
  if (v.is_number_unsigned() ? !std::in_range<T>(v.get<uint64_t>())
                             : !v.is_number_integer() || !std::in_range<T>(v.get<int64_t>()))
    return false;
  append_raw(out, v.is_number_unsigned() ? static_cast<T>(v.get<uint64_t>()) : static_cast<T>(v.get<int64_t>()));
  return true;
}

template <class T>
bool append_real(const json& v, std::string& out) {
  T to;
  if (!v.is_number() || !narrow(v.get<double>(), to)) return false;
  append_raw(out, to);
  return true;
}

bool append_value(const json& v, DataType type, std::string& out) {
  switch (type) {
    case DataType::kBool:
      if (v.is_boolean()) out += v.get<bool>() ? '\1' : '\0';
      return v.is_boolean();
    case DataType::kUint8: return append_integer<uint8_t>(v, out);
    case DataType::kUint16: return append_integer<uint16_t>(v, out);
    case DataType::kUint32: return append_integer<uint32_t>(v, out);
    case DataType::kUint64: return append_integer<uint64_t>(v, out);
    case DataType::kInt8: return append_integer<int8_t>(v, out);
    case DataType::kInt16: return append_integer<int16_t>(v, out);
    case DataType::kInt32: return append_integer<int32_t>(v, out);
    case DataType::kInt64: return append_integer<int64_t>(v, out);
    case DataType::kFp32: return append_real<float>(v, out);
    case DataType::kFp64: return append_real<double>(v, out);
    case DataType::kBytes:
      if (v.is_string()) append_bytes_element(out, v.get_ref<const std::string&>());
      return v.is_string();
    case DataType::kFp16:
    case DataType::kBf16: break;
  }
  return false;
}

// The datatype that the first value speaks of; FP64 wins over INT64 when both occur.
DataType guess(const json& v) {
  if (!v.is_array()) {
    if (v.is_boolean()) return DataType::kBool;
    if (v.is_string()) return DataType::kBytes;
    return v.is_number_integer() ? DataType::kInt64 : DataType::kFp64;
  }
  DataType type = DataType::kInt64;
  bool first = true;
  for (const json& e : v) {
    const DataType t = guess(e);
    if (first || t == DataType::kFp64) type = t;
    first = false;
  }
  return type;
}

class TensorReader {
 public:
  TensorReader(DataType type, std::string path) : type_(type), path_(std::move(path)) {}

  Result<Tensor> read(const json& v, const std::string& name) {
    if (type_ == DataType::kFp16 || type_ == DataType::kBf16)
      return fail(invalid_argument(
          fmt::format("{}: {} has no JSON form; use /v2/models/M/infer with binary data", path_, to_string(type_))));
    TRY_VOID(walk(v, 0, path_));
    return own_tensor(name, type_, std::move(shape_), std::move(data_));
  }

 private:
  Result<void> walk(const json& v, size_t depth, const std::string& path) {
    if (!v.is_array()) {
      if (!leaf_depth_) leaf_depth_ = depth;
      if (const size_t lists = std::max(*leaf_depth_, shape_.size()); lists != depth)
        return fail(wrong(path, v, fmt::format("a list: other values lie {} lists deep", lists)));
      if (!append_value(v, type_, data_))
        return fail(wrong(path, v, fmt::format("a value that fits {}", to_string(type_))));
      return {};
    }
    if (depth == kMaxDepth) return fail(invalid_argument(fmt::format("{}: more than {} lists deep", path, kMaxDepth)));
    if (leaf_depth_ && depth >= *leaf_depth_)
      return fail(wrong(path, v, "a value: others lie no deeper than this list"));
    const auto n = static_cast<int64_t>(v.size());
    if (depth == shape_.size()) shape_.push_back(n);
    if (shape_[depth] != n)
      return fail(invalid_argument(fmt::format("{}: a list of {} elements beside one of {}", path, n, shape_[depth])));
    for (size_t i = 0; i < v.size(); ++i) TRY_VOID(walk(v[i], depth + 1, fmt::format("{}[{}]", path, i)));
    return {};
  }

  DataType type_;
  std::string path_, data_;
  std::vector<int64_t> shape_;
  std::optional<size_t> leaf_depth_;
};

Result<Tensor> read_tensor(const json& v, const ModelInfo& model, const std::string& name, const std::string& path) {
  for (const auto& t : model.inputs)
    if (t.name == name && !model.any_tensor) return TensorReader(t.type, path).read(v, name);
  if (model.any_tensor) return TensorReader(guess(v), path).read(v, name);
  std::string names;
  for (const auto& t : model.inputs) names += (names.empty() ? "" : ", ") + t.name;
  return fail(invalid_argument(
      fmt::format("{}: input '{}' is unknown; model '{}' takes: {}", path, brief(name), model.name, names)));
}

Result<std::string> only_input(const ModelInfo& model, std::string_view path) {
  if (model.inputs.size() == 1) return model.inputs.front().name;
  return fail(
      invalid_argument(fmt::format("{}: model '{}' has {} inputs, so each entry must be an object with their names",
                                   path, model.name, model.inputs.size())));
}

Result<void> check_count(std::string_view path, const json& by_name) {
  if (by_name.size() <= kMaxTensors) return {};
  return fail(invalid_argument(fmt::format("{}: more than {} tensors", path, kMaxTensors)));
}

Result<void> read_rows(const json& rows, const ModelInfo& model, InferRequest& request) {
  if (!rows.is_array() || rows.empty()) return fail(wrong("instances", rows, "a list with at least one row"));
  if (!rows.front().is_object()) {
    TRY(const auto name, only_input(model, "instances"));
    TRY(auto tensor, read_tensor(rows, model, name, "instances"));
    request.inputs.push_back(std::move(tensor));
    return {};
  }
  TRY_VOID(check_count("instances[0]", rows.front()));
  for (const auto& [name, unused] : rows.front().items()) {
    json column = json::array();
    for (size_t i = 0; i < rows.size(); ++i) {
      if (!rows[i].is_object() || !rows[i].contains(name) || rows[i].size() != rows.front().size())
        return fail(wrong(fmt::format("instances[{}]", i), rows[i], "an object with the same names as instances[0]"));
      column.push_back(rows[i][name]);
    }
    TRY(auto tensor, read_tensor(column, model, name, "instances." + brief(name)));
    request.inputs.push_back(std::move(tensor));
  }
  return {};
}

Result<void> read_columns(const json& inputs, const ModelInfo& model, InferRequest& request) {
  if (!inputs.is_object()) {
    TRY(const auto name, only_input(model, "inputs"));
    TRY(auto tensor, read_tensor(inputs, model, name, "inputs"));
    request.inputs.push_back(std::move(tensor));
    return {};
  }
  TRY_VOID(check_count("inputs", inputs));
  for (const auto& [name, v] : inputs.items()) {
    TRY(auto tensor, read_tensor(v, model, name, "inputs." + brief(name)));
    request.inputs.push_back(std::move(tensor));
  }
  return {};
}

class TensorWriter {
 public:
  explicit TensorWriter(const Tensor& t) : t_(t) {
    if (t.type == DataType::kBytes) elements_ = bytes_elements(t.data);
  }
  Result<void> check() const {
    if (t_.type == DataType::kFp16 || t_.type == DataType::kBf16)
      return fail(invalid_argument(fmt::format("output '{}' is {}, which has no JSON form; use /v2/models/M/infer",
                                               brief(t_.name), to_string(t_.type))));
    for (const auto e : elements_)
      if (!is_utf8(e))
        return fail(invalid_argument(
            fmt::format("output '{}' holds bytes that are no UTF-8; use /v2/models/M/infer", brief(t_.name))));
    return {};
  }
  // Everything from dimension `dim` on, starting at element `at`, which moves along.
  void write(std::string& out, size_t dim, size_t& at) const {
    if (out.size() > kMaxReply) return;  // write_predict() refuses it
    if (dim == t_.shape.size()) {
      if (t_.type == DataType::kBytes)
        append_json_string(out, elements_[at]);
      else
        append_json_elements(out, t_.type, t_.data.substr(at * element_size(t_.type), element_size(t_.type)));
      ++at;
      return;
    }
    out += '[';
    for (int64_t i = 0; i < t_.shape[dim]; ++i) {
      if (i > 0) out += ',';
      write(out, dim + 1, at);
    }
    out += ']';
  }

 private:
  const Tensor& t_;
  std::vector<std::string_view> elements_;
};

}  // namespace

Result<ParsedPredict> parse_predict(std::string_view body, const ModelInfo& model) {
  if (too_deep(body))
    return fail(invalid_argument(fmt::format("the request is more than {} lists and objects deep", kMaxNesting)));
  json root = json::parse(body, nullptr, false);
  if (std::string loose; root.is_discarded() && loosen(body, loose)) {
    root = json::parse(loose, nullptr, false);
    restore_words(root);
  }
  if (root.is_discarded()) return fail(invalid_argument("the request is not valid JSON"));
  if (!root.is_object()) return fail(wrong("request", root, "a JSON object"));
  const bool rows = root.contains("instances");
  if (rows == root.contains("inputs"))
    return fail(invalid_argument("expected one of `instances` (a list of rows) and `inputs` (whole tensors)"));
  ParsedPredict out;
  out.rows = rows;
  TRY_VOID(rows ? read_rows(root["instances"], model, out.request) : read_columns(root["inputs"], model, out.request));
  return out;
}

Result<std::string> write_predict(const InferReply& reply, bool rows) {
  std::vector<TensorWriter> writers;
  std::optional<int64_t> batch;
  for (const auto& t : reply.outputs) {
    writers.emplace_back(t);
    TRY_VOID(writers.back().check());
    const int64_t first = t.shape.empty() ? -1 : t.shape.front();
    if (batch && *batch != first) rows = false;  // no common rows: each tensor by itself
    batch = first;
  }
  std::string out = "{\"predictions\":";
  const bool single = reply.outputs.size() == 1;
  const auto one = [&](size_t i, size_t dim, size_t& at) {
    if (!single) {
      append_json_string(out, reply.outputs[i].name);
      out += ':';
    }
    writers[i].write(out, dim, at);
  };
  if (single || !rows || !batch || *batch < 0) {
    if (!single) out += '{';
    for (size_t i = 0; i < writers.size(); ++i) {
      if (i > 0) out += ',';
      size_t at = 0;
      one(i, 0, at);
    }
    if (!single) out += '}';
  } else {
    std::vector<size_t> at(writers.size(), 0);
    out += '[';
    for (int64_t row = 0; row < *batch; ++row) {
      out += row > 0 ? ",{" : "{";
      for (size_t i = 0; i < writers.size(); ++i) {
        if (i > 0) out += ',';
        one(i, 1, at[i]);
      }
      out += '}';
    }
    out += ']';
  }
  if (out.size() >= kMaxReply)
    return fail(invalid_argument(
        fmt::format("the reply would have more than {} bytes; use /v2/models/M/infer with binary data", kMaxReply)));
  out += '}';
  return out;
}

}  // namespace colony::runtime::oip
