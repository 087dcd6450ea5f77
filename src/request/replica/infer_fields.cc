// One walk over the fields; several lines of a list are joined only where there are several.
#include "request/replica/infer_fields.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "transport/http/head_grammar.h"

namespace colony::replica {
namespace {

// How an inference is coded. The parser notes none of these names, so they are looked for at once.
struct CodingFields {
  struct Value {
    std::string_view name;
    std::optional<std::string_view> first{};
    bool again = false;  // the name has further lines
  };
  Value json_length{"inference-header-content-length"}, content_encoding{"content-encoding"},
      accept_encoding{"accept-encoding"};

  explicit CodingFields(const http::RequestHead& head) {
    for (const http::Field& f : head.fields()) {
      if (f.id != http::Name::kOther) continue;
      take(f, json_length);
      take(f, content_encoding);
      take(f, accept_encoding);
    }
  }

 private:
  static void take(const http::Field& f, Value& to) {
    if (f.name.size() != to.name.size() || !http::iequals(f.name, to.name)) return;
    to.again = to.first.has_value();
    if (!to.again) to.first = f.value;
  }
};

// All lines of a name are one list (RFC 9110, 5.3). `joined` keeps it where there are several.
std::optional<std::string_view> whole_list(const http::RequestHead& head, const CodingFields::Value& value,
                                           std::string& joined) {
  if (!value.again) return value.first;
  for (const http::Field& f : head.fields())
    if (http::iequals(f.name, value.name)) joined.append(joined.empty() ? "" : ", ").append(f.value);
  return joined;
}

// Nullopt: no coding that is known, or several.
std::optional<compress::Coding> only_coding(std::string_view list) {
  std::optional<compress::Coding> only;
  const bool one = http::grammar::for_each_option(list, [&](std::string_view item) {
    const auto coding = compress::parse_coding(item);
    return !std::exchange(only, coding) && coding;
  });
  if (!one) return std::nullopt;
  return only.value_or(compress::Coding::kIdentity);
}

Result<std::optional<uint64_t>> json_length(const http::RequestHead& head, const CodingFields::Value& field) {
  const auto text = field.first;
  if (!text) return std::nullopt;
  if (field.again)
    for (const http::Field& f : head.fields())
      if (http::iequals(f.name, field.name) && f.value != *text)
        return fail(invalid_argument(fmt::format(
            "Inference-Header-Content-Length: '{}' and '{}' given, expected one number of bytes", *text, f.value)));
  uint64_t value = 0;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (code != std::errc() || end != text->data() + text->size() || text->empty())
    return fail(invalid_argument(
        fmt::format("Inference-Header-Content-Length: '{}' given, expected a number of bytes", *text)));
  return value;
}

}  // namespace

Result<void> read_infer_fields(const http::RequestHead& head, InferQuestion& question) {
  const CodingFields fields(head);
  std::string codings, accepted_codings;
  if (const auto name = whole_list(head, fields.content_encoding, codings)) {
    const auto coding = only_coding(*name);
    if (!coding)
      return fail(invalid_argument(
          fmt::format("Content-Encoding: '{}' given, expected one of {} (or none)", *name, compress::kCodings),
          "content_encoding"));
    question.coding = *coding;
  }
  if (const auto accepted = whole_list(head, fields.accept_encoding, accepted_codings))
    question.reply_coding = compress::choose(*accepted);
  if (question.form != InferForm::kJson) return {};
  auto length = json_length(head, fields.json_length);
  if (!length) return fail(std::move(length).error());
  question.json_length = *length;
  if (question.json_length == 0) question.form = InferForm::kRawTensor;
  return {};
}

}  // namespace colony::replica
