// The Dispatcher: which method a request is for, and what is wrong with those that are for none.
#include "transport/grpc/service.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"
#include "transport/grpc/call.h"
#include "transport/grpc/status.h"

namespace colony::grpc {
namespace {

// Drops what still comes of a request that was refused, and goes with it.
class Refused final : public http::ExchangeHandler {
 public:
  explicit Refused(http::Exchange& exchange) : exchange_(exchange) {}
  void on_body(std::string_view data) override { exchange_.consumed(data.size()); }
  void on_end(std::string_view) override {}
  void on_done(bool) override { delete this; }

 private:
  ~Refused() = default;
  http::Exchange& exchange_;
};

bool accepts(std::string_view list, compress::Coding coding) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (compress::parse_coding(list.substr(0, comma)) == coding) return true;
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
  }
  return false;
}

}  // namespace

Dispatcher::Dispatcher(Options options) : options_(options) {}

Dispatcher::~Dispatcher() {
  while (calls_ != nullptr) delete calls_;
}

void Dispatcher::unary(std::string path, UnaryFn fn, Messages messages) {
  CHECK(methods_.emplace(std::move(path), Method{std::move(fn), {}, messages}).second);
}

void Dispatcher::streaming(std::string path, StreamFactory factory, Messages messages) {
  CHECK(methods_.emplace(std::move(path), Method{{}, std::move(factory), messages}).second);
}

bool Dispatcher::has(std::string_view path) const { return methods_.find(path) != methods_.end(); }

std::vector<std::string> Dispatcher::services() const {
  std::vector<std::string> names;
  for (const auto& [path, method] : methods_) names.push_back(path.substr(1, path.rfind('/') - 1));
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

http::ExchangeHandler* Dispatcher::refuse(http::Exchange& exchange, int http_status, const Error& error,
                                          std::string_view extra) {
  ++stats_.refused;
  if (http_status != 200) {
    http::reply_with(exchange, http_status, "text/plain", error.message, extra);
  } else {
    std::string head = trailers_only_head(error);
    head.insert(head.size() - 2, extra);
    exchange.reply(head, {}, http::More::kNo);
  }
  return new Refused(exchange);
}

http::ExchangeHandler* Dispatcher::on_request(http::Exchange& exchange, const http::RequestHead& head) {
  const std::string_view type = head.find("content-type").value_or("");
  if (!is_grpc_content_type(type)) {
    return refuse(exchange, 415,
                  invalid_argument(fmt::format("content-type is \"{}\"; this path serves application/grpc\n", type)));
  }
  if (head.method != "POST") {
    return refuse(exchange, 405, invalid_argument(fmt::format("{} is not served; gRPC calls are POST\n", head.method)),
                  "allow: POST\r\n");
  }
  const auto it = methods_.find(head.path);
  if (it == methods_.end()) {
    return refuse(exchange, 200, unimplemented(fmt::format("method {} is not served here", head.path), "no_method"));
  }
  CallSetup setup{.deadline = exchange.deadline(), .messages = it->second.messages};
  if (const auto name = head.find("grpc-encoding")) {
    const auto coding = compress::parse_coding(*name);
    if (!coding) {
      return refuse(exchange, 200,
                    unimplemented(fmt::format("grpc-encoding \"{}\" is not accepted; identity, {} are", *name,
                                              compress::kCodings),
                                  "compressed"),
                    fmt::format("grpc-accept-encoding: identity, {}\r\n", compress::kCodings));
    }
    setup.coding = *coding;
    if (accepts(head.find("grpc-accept-encoding").value_or(""), *coding)) setup.reply_coding = *coding;
  }
  if (const auto timeout = head.find("grpc-timeout")) {
    const auto left = parse_timeout(*timeout);
    if (!left) {
      return refuse(exchange, 200,
                    invalid_argument(fmt::format(
                        "grpc-timeout is \"{}\"; 1 to 8 digits and one of H, M, S, m, u, n are right", *timeout)));
    }
    setup.deadline = setup.deadline.sooner(Deadline::after(exchange.loop().now(), *left));
  }
  ++stats_.calls;
  return it->second.unary ? start_unary(*this, exchange, head, setup, it->second.unary)
                          : start_stream(*this, exchange, head, setup, it->second.stream);
}

}  // namespace colony::grpc
