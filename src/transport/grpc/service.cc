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

// A field whose name the parser does not note: there are few of them, so that most are passed over unread.
std::optional<std::string_view> find_other(const http::RequestHead& head, std::string_view name) {
  for (const http::Field& f : head.fields())
    if (f.id == http::Name::kOther && f.name.size() == name.size() && http::iequals(f.name, name)) return f.value;
  return std::nullopt;
}

bool accepts(std::string_view list, compress::Coding coding) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (compress::parse_coding(list.substr(0, comma)) == coding) return true;
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
  }
  return false;
}

}  // namespace

Dispatcher::Dispatcher(Options options)
    : options_(std::move(options)), buffered_(options_.buffered != nullptr ? *options_.buffered : own_buffered_) {}

Dispatcher::~Dispatcher() {
  while (calls_ != nullptr) calls_->destroy();
}

void Dispatcher::unary(std::string path, UnaryFn fn, Messages messages) {
  add({std::move(path), std::move(fn), {}, messages});
}

void Dispatcher::streaming(std::string path, StreamFactory factory, Messages messages) {
  add({std::move(path), {}, std::move(factory), messages});
}

void Dispatcher::add(Method method) {
  CHECK(!has(method.path) && calls_ == nullptr);
  methods_.push_back(std::move(method));
}

const Dispatcher::Method* Dispatcher::find(std::string_view path) const {
  const auto it = std::ranges::find(methods_, path, &Method::path);
  return it == methods_.end() ? nullptr : &*it;
}

bool Dispatcher::has(std::string_view path) const { return find(path) != nullptr; }

std::vector<std::string> Dispatcher::services() const {
  std::vector<std::string> names;
  for (const Method& m : methods_) names.push_back(m.path.substr(1, m.path.rfind('/') - 1));
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
  if (!head.is_grpc()) {
    const http::Field* const field = head.find(http::Name::kContentType);
    const std::string_view type = field != nullptr ? field->value : std::string_view();
    return refuse(exchange, 415,
                  invalid_argument(fmt::format("content-type is \"{}\"; this path serves application/grpc\n", type)));
  }
  if (head.method != "POST") {
    return refuse(exchange, 405, invalid_argument(fmt::format("{} is not served; gRPC calls are POST\n", head.method)),
                  "allow: POST\r\n");
  }
  const Method* const method = find(head.path);
  if (method == nullptr) {
    return refuse(exchange, 200, unimplemented(fmt::format("method {} is not served here", head.path), "no_method"));
  }
  CallSetup setup{.deadline = exchange.deadline(), .messages = method->messages};
  if (const auto name = find_other(head, "grpc-encoding")) {
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
  if (const http::Field* const timeout = head.find(http::Name::kGrpcTimeout)) {
    const auto left = parse_timeout(timeout->value);
    if (!left) {
      return refuse(
          exchange, 200,
          invalid_argument(fmt::format("grpc-timeout is \"{}\"; 1 to 8 digits and one of H, M, S, m, u, n are right",
                                       timeout->value)));
    }
    setup.deadline = setup.deadline.sooner(Deadline::after(exchange.loop().now(), *left));
  }
  ++stats_.calls;
  return method->unary ? start_unary(*this, exchange, head, setup, method->unary)
                       : start_stream(*this, exchange, head, setup, method->stream);
}

}  // namespace colony::grpc
