// How the control API reads queries and writes replies.
#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "control/keeper/api_state.h"
#include "transport/http/head.h"

namespace colony::keeper {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json error_body(const Error& error) {
  return {{"error", error.message}, {"code", code_name(error.code)}, {"reason", error.reason}};
}

struct Param {
  std::string name, value;
};

Result<std::vector<Param>> params(const http::Request& request) {
  std::vector<Param> out;
  std::string_view rest = request.query;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    std::string_view item = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (item.empty()) continue;
    const size_t equals = std::min(item.find('='), item.size());
    auto name = http::percent_decode(item.substr(0, equals));
    auto value = http::percent_decode(item.substr(std::min(equals + 1, item.size())));
    if (!name || !value)
      return fail(invalid_argument(fmt::format("the query '{}' has a broken percent escape", request.query)));
    out.push_back({*std::move(name), *std::move(value)});
  }
  return out;
}

}  // namespace

http::Reply json_reply(int status, std::string body) {
  http::Reply r;
  r.status = status;
  r.body = std::move(body);
  return r;
}

http::Reply text_reply(int status, std::string body) {
  http::Reply r;
  r.status = status;
  r.content_type = "text/plain; charset=utf-8";
  r.body = std::move(body);
  return r;
}

http::Reply error_as_reply(const Error& error) {
  http::Reply r = json_reply(http_status(error.code), dump(error_body(error)));
  if (r.status == 429 || r.status == 503) r.headers.emplace_back("retry-after", "1");
  return r;
}

http::Reply problems_reply(const Problems& problems) {
  const Error error = to_error(problems);
  Json body = error_body(error);
  Json list = Json::array();
  for (const Problem& p : problems) {
    Json one{{"message", p.message}, {"key_path", p.key_path}, {"value", p.value}};
    if (p.line > 0) one["line"] = p.line;
    if (p.column > 0) one["column"] = p.column;
    list.push_back(std::move(one));
  }
  body["problems"] = std::move(list);
  return json_reply(http_status(error.code), dump(body));
}

std::string json_string(std::string_view text) { return dump(Json(std::string(text))); }

std::string change_json(const Change& change, bool dry_run) {
  return fmt::format(R"({{"name":{},"revision":{},"changed":{},"dry_run":{},"plan":{{"actions":{}}}}})",
                     json_string(change.name), change.revision, change.changed, dry_run, to_json_text(change.plan));
}

Result<void> check_params(const http::Request& request, std::initializer_list<std::string_view> known) {
  TRY(const auto given, params(request));
  std::set<std::string> seen;
  for (const Param& p : given) {
    if (std::find(known.begin(), known.end(), p.name) == known.end()) {
      std::string list;
      for (std::string_view k : known) list += (list.empty() ? "" : ", ") + std::string(k);
      return fail(invalid_argument(fmt::format("unknown query parameter '{}'; {}", p.name,
                                               list.empty() ? "there are none here" : "there is " + list),
                                   "unknown_parameter"));
    }
    if (!seen.insert(p.name).second)
      return fail(invalid_argument(fmt::format("the query parameter '{}' is given twice", p.name)));
  }
  return {};
}

Result<bool> flag_param(const http::Request& request, std::string_view name) {
  const auto value = request.param(name);
  if (!value || *value == "false" || *value == "0") return false;
  if (value->empty() || *value == "true" || *value == "1") return true;
  return fail(invalid_argument(fmt::format("the query parameter {}='{}' must be true or false", name, *value)));
}

Result<std::optional<uint64_t>> number_param(const http::Request& request, std::string_view name, uint64_t low,
                                             uint64_t high) {
  const auto value = request.param(name);
  if (!value) return std::nullopt;
  uint64_t number = 0;
  auto [end, ec] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (value->empty() || ec != std::errc{} || end != value->data() + value->size() || number < low || number > high)
    return fail(invalid_argument(
        fmt::format("the query parameter {}='{}' must be an integer from {} to {}", name, *value, low, high)));
  return number;
}

Result<ChangeOptions> change_options(const http::Request& request) {
  ChangeOptions o;
  TRY(o.dry_run, flag_param(request, "dry_run"));
  TRY(o.expected_revision, number_param(request, "revision", 0, INT64_MAX));
  return o;
}

std::optional<SpecFormat> body_format(const http::Request& request) {
  std::string type;
  for (char c : request.header("content-type").substr(0, request.header("content-type").find(';')))
    if (c != ' ' && c != '\t') type += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  if (type == "application/json" || type.ends_with("+json")) return SpecFormat::kJson;
  if (type == "application/yaml" || type == "application/x-yaml" || type == "text/yaml" || type == "text/x-yaml")
    return SpecFormat::kYaml;
  // Not said, or what curl -d says by itself: every JSON text but a few is YAML as well.
  if (type.empty() || type == "application/x-www-form-urlencoded") {
    const size_t first = request.body.find_first_not_of(" \t\r\n");
    return first != std::string::npos && request.body[first] == '{' ? SpecFormat::kJson : SpecFormat::kYaml;
  }
  return std::nullopt;
}

http::Reply unsupported_type(const http::Request& request) {
  http::Reply r = error_as_reply(
      invalid_argument(fmt::format("content-type '{}' is not understood; send application/json or application/yaml",
                                   request.header("content-type")),
                       "unsupported_media_type"));
  r.status = 415;
  return r;
}

bool same_secret(std::string_view a, std::string_view b) {
  volatile unsigned char different = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i) {
    const unsigned char other = b.empty() ? 0 : static_cast<unsigned char>(b[i % b.size()]);
    different = different | (static_cast<unsigned char>(a[i]) ^ other);
  }
  return different == 0;
}

}  // namespace colony::keeper
