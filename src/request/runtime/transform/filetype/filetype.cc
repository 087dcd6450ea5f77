// The package's own rules, in its own order: empty file; too small a file; too little left after stripping; the model.
// White space is what Python's bytes.strip() takes away: space, \t, \n, \v, \f, \r.
#include "request/runtime/transform/filetype/filetype.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/utf8.h"
#include "request/runtime/transform/filetype/config.h"

namespace colony::runtime::filetype {
namespace {

constexpr std::string_view kSpace = " \t\n\v\f\r";

std::string_view lstrip(std::string_view s) {
  const size_t at = s.find_first_not_of(kSpace);
  return at == s.npos ? std::string_view() : s.substr(at);
}
std::string_view rstrip(std::string_view s) { return s.substr(0, s.find_last_not_of(kSpace) + 1); }

// Strings of the knowledge base hold no control characters worth keeping; quotes and backslashes may occur.
std::string json_string(std::string_view s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + '"';
}

class Filetype final : public Transform {
 public:
  explicit Filetype(Config config) : config_(std::move(config)) {}

  Result<std::vector<Tensor>> to_tensors(std::string_view body, std::string_view) const override {
    if (!special_label(body).empty()) return std::vector<Tensor>();
    const std::string_view beg = beginning(body).substr(0, config_.beg_size);
    std::string_view end = ending(body);
    end.remove_prefix(end.size() - std::min(end.size(), config_.end_size));
    std::vector<int32_t> tokens(config_.beg_size + config_.end_size, config_.padding);
    const auto as_token = [](char c) { return static_cast<int32_t>(static_cast<unsigned char>(c)); };
    std::ranges::transform(beg, tokens.begin(), as_token);
    std::ranges::transform(end, tokens.end() - static_cast<ptrdiff_t>(end.size()), as_token);
    std::string bytes(tokens.size() * sizeof(int32_t), '\0');
    std::memcpy(bytes.data(), tokens.data(), bytes.size());
    std::vector<Tensor> tensors;
    tensors.push_back(
        own_tensor("bytes", DataType::kInt32, {1, static_cast<int64_t>(tokens.size())}, std::move(bytes)));
    return tensors;
  }

  Result<Body> to_reply(const InferReply& reply, std::string_view body) const override {
    if (reply.outputs.empty()) {
      const auto special = special_label(body);
      if (special.empty()) return fail(failed_precondition("the model gave no output"));
      return answer(std::string(special), 1.0F);
    }
    const Tensor& scores = reply.outputs.front();
    if (scores.type != DataType::kFp32 || scores.data.size() != config_.labels.size() * sizeof(float))
      return fail(
          failed_precondition(fmt::format("the model gave '{}' {} {}, but config.min.json has {} labels and wants FP32 "
                                          "[1,{}]: the files beside the model "
                                          "belong to another one",
                                          scores.name, to_string(scores.type), shape_text(scores.shape),
                                          config_.labels.size(), config_.labels.size())));
    std::vector<float> values(config_.labels.size());
    std::memcpy(values.data(), scores.data.data(), scores.data.size());
    const auto best = static_cast<size_t>(std::ranges::max_element(values) - values.begin());
    return answer(output_label(config_.labels[best], values[best]), values[best]);
  }

 private:
  std::string_view beginning(std::string_view body) const { return lstrip(body.substr(0, config_.block_size)); }
  std::string_view ending(std::string_view body) const {
    return rstrip(body.substr(body.size() - std::min(body.size(), config_.block_size)));
  }

  // The label of a file that is too short for the model; empty for one that is not.
  std::string_view special_label(std::string_view body) const {
    if (body.empty()) return "empty";
    if (body.size() >= config_.min_file_size && beginning(body).size() >= config_.min_file_size) return {};
    return is_utf8(body.substr(0, config_.block_size)) ? "txt" : "unknown";
  }

  std::string output_label(const std::string& label, float score) const {
    const auto over = config_.overwrite.find(label);
    const std::string& wanted = over == config_.overwrite.end() ? label : over->second;
    const auto own = config_.thresholds.find(label);
    const double threshold = own == config_.thresholds.end() ? config_.medium_threshold : own->second;
    if (static_cast<double>(score) >= threshold) return wanted;
    return config_.types.at(wanted).is_text ? "txt" : "unknown";
  }

  Body answer(const std::string& label, float score) const {
    const ContentType& type = config_.types.at(label);
    return {"application/json",
            fmt::format(R"({{"label":{},"score":{:.4f},"mime_type":{},"group":{},"description":{}}})"
                        "\n",
                        json_string(label), score, json_string(type.mime_type), json_string(type.group),
                        json_string(type.description))};
  }

  Config config_;
};

}  // namespace

Result<std::unique_ptr<Transform>> make_filetype(const std::string& model_path) {
  const auto folder = std::filesystem::path(model_path).parent_path();
  TRY(auto config, read_config(folder.empty() ? "." : folder.string()));
  return std::make_unique<Filetype>(std::move(config));
}

}  // namespace colony::runtime::filetype
