// Every field is checked before use, so that a wrong file is named at load and not met by a request.
#include "request/runtime/transform/filetype/config.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

namespace colony::runtime::filetype {
namespace {

using nlohmann::json;

constexpr size_t kMaxFile = 4 << 20;  // LIMIT: of either file; the real ones have 2 and 45 kB

Result<json> read_json(const std::string& path) {
  const auto close = [](FILE* f) { std::fclose(f); };
  std::unique_ptr<FILE, decltype(close)> file(std::fopen(path.c_str(), "rbe"), close);
  if (!file) return fail(errno_error(fmt::format("{} (transform filetype needs it beside the model)", path), errno));
  std::string text;
  char buffer[16384];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, file.get())) {
    text.append(buffer, n);
    if (text.size() > kMaxFile)
      return fail(invalid_argument(fmt::format("{} is larger than {} bytes", path, kMaxFile)));
  }
  if (std::ferror(file.get())) return fail(errno_error(path, errno));
  json document = json::parse(text, nullptr, false);
  if (document.is_discarded() || !document.is_object())
    return fail(invalid_argument(fmt::format("{} is not a JSON object", path)));
  return document;
}

class Fields {
 public:
  Fields(const json& object, const std::string& path) : object_(object), path_(path) {}

  Error wrong(std::string_view key, std::string_view expected) const {
    const auto it = object_.find(key);
    return invalid_argument(
        fmt::format("{}: '{}' is {}, expected {}", path_, key, it == object_.end() ? "missing" : it->dump(), expected));
  }
  Result<size_t> size(std::string_view key, size_t most) const {
    const auto it = object_.find(key);
    if (it == object_.end() || !it->is_number_unsigned() || it->get<uint64_t>() > most)
      return fail(wrong(key, fmt::format("a whole number from 0 to {}", most)));
    return it->get<size_t>();
  }
  Result<double> fraction(std::string_view key) const {
    const auto it = object_.find(key);
    if (it == object_.end() || !it->is_number()) return fail(wrong(key, "a number"));
    return it->get<double>();
  }
  template <class T>
  Result<std::unordered_map<std::string, T>> map(std::string_view key, bool (json::*is)() const noexcept,
                                                 std::string_view expected) const {
    const auto it = object_.find(key);
    if (it == object_.end() || !it->is_object()) return fail(wrong(key, expected));
    std::unordered_map<std::string, T> out;
    for (const auto& [name, value] : it->items()) {
      if (!(value.*is)()) return fail(wrong(key, expected));
      out.emplace(name, value.template get<T>());
    }
    return out;
  }

 private:
  const json& object_;
  const std::string& path_;
};

std::string text_or(const json& object, std::string_view key, std::string_view otherwise) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string(otherwise);
}

Result<ContentType> content_type(const json& kb, const std::string& label, const std::string& path) {
  const auto it = kb.find(label);
  if (it == kb.end() || !it->is_object())
    return fail(invalid_argument(fmt::format("{} says nothing about the label '{}'", path, label)));
  const auto text = it->find("is_text");
  if (text == it->end() || !text->is_boolean())
    return fail(invalid_argument(fmt::format("{}: '{}.is_text' must be true or false", path, label)));
  ContentType type;
  type.is_text = text->get<bool>();
  type.mime_type = text_or(*it, "mime_type", type.is_text ? "text/plain" : "application/octet-stream");
  type.group = text_or(*it, "group", "unknown");
  type.description = text_or(*it, "description", label);
  return type;
}

}  // namespace

Result<Config> read_config(const std::string& folder) {
  const std::string path = folder + "/config.min.json", kb_path = folder + "/content_types_kb.min.json";
  TRY(const json document, read_json(path));
  TRY(const json kb, read_json(kb_path));
  const Fields fields(document, path);
  Config c;
  TRY(c.beg_size, fields.size("beg_size", 1 << 20));
  TRY(c.end_size, fields.size("end_size", 1 << 20));
  TRY(c.block_size, fields.size("block_size", 1 << 24));
  TRY(c.min_file_size, fields.size("min_file_size_for_dl", 1 << 20));
  TRY(const size_t padding, fields.size("padding_token", 1 << 30));
  c.padding = static_cast<int32_t>(padding);
  TRY(c.medium_threshold, fields.fraction("medium_confidence_threshold"));
  TRY(c.thresholds, fields.map<double>("thresholds", &json::is_number, "an object of numbers"));
  TRY(c.overwrite, fields.map<std::string>("overwrite_map", &json::is_string, "an object of strings"));
  TRY(const size_t mid_size, fields.size("mid_size", 0));
  if (const auto it = document.find("use_inputs_at_offsets"); mid_size != 0 || it == document.end() || *it != false)
    return fail(fields.wrong("use_inputs_at_offsets", "false (only features version 2 without offsets is known)"));
  if (c.min_file_size == 0 || c.min_file_size > c.beg_size)
    return fail(fields.wrong("min_file_size_for_dl", "1 to beg_size"));
  if (c.beg_size > c.block_size || c.end_size > c.block_size)
    return fail(fields.wrong("block_size", "at least beg_size and end_size"));
  const auto labels = document.find("target_labels_space");
  if (labels == document.end() || !labels->is_array() || labels->empty())
    return fail(fields.wrong("target_labels_space", "a list of labels"));
  for (const auto& label : *labels) {
    if (!label.is_string()) return fail(fields.wrong("target_labels_space", "a list of labels"));
    c.labels.push_back(label.get<std::string>());
  }
  std::vector<std::string> answers = c.labels;
  for (const auto& [from, to] : c.overwrite) answers.push_back(to);
  for (const char* special : {"txt", "unknown", "empty"}) answers.emplace_back(special);
  for (const auto& label : answers) {
    if (c.types.contains(label)) continue;
    TRY(auto type, content_type(kb, label, kb_path));
    c.types.emplace(label, std::move(type));
  }
  return c;
}

}  // namespace colony::runtime::filetype
