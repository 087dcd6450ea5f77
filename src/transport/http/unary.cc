// The router: matches, gathers the body, runs the handler as a task, answers. A call is shared by the connection (until
// on_done) and by its task (until it returns); whichever ends later frees it.
#include "transport/http/unary.h"

#include <algorithm>
#include <deque>

#include "base/check.h"
#include "base/log.h"

namespace colony::http {
namespace {

constexpr size_t kMaxNamed = 40;  // routes that a 404 lists

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> out;
  if (path.starts_with('/')) path.remove_prefix(1);
  for (;;) {
    const size_t slash = path.find('/');
    out.push_back(path.substr(0, slash));
    if (slash == path.npos) return out;
    path.remove_prefix(slash + 1);
  }
}

struct Route {
  enum class Kind : uint8_t { kLiteral, kParam, kRest };
  struct Segment {
    Kind kind;
    std::string text;  // the literal, or the parameter's name
  };
  std::string method, pattern;
  std::vector<Segment> segments;
  UnaryFn unary;
  StreamFn stream;

  // Positions at which `path` fits; the earlier a literal, the better the fit (literal 2, parameter 1, remainder 0).
  bool fits(const std::vector<std::string_view>& path, std::string& score) const {
    score.clear();
    for (size_t i = 0; i < segments.size(); ++i) {
      const Segment& s = segments[i];
      if (s.kind == Kind::kRest) {
        score += '0';
        return true;
      }
      if (i >= path.size()) return false;
      if (s.kind == Kind::kLiteral ? path[i] != s.text : path[i].empty()) return false;
      score += s.kind == Kind::kLiteral ? '2' : '1';
    }
    return path.size() == segments.size();
  }
};

Route parse_route(std::string_view method, std::string_view pattern) {
  CHECK(pattern.starts_with('/'));
  Route route;
  route.method = method;
  route.pattern = pattern;
  for (std::string_view s : split(pattern)) {
    CHECK(route.segments.empty() || route.segments.back().kind != Route::Kind::kRest);
    if (!s.starts_with('{')) {
      route.segments.push_back({Route::Kind::kLiteral, std::string(s)});
      continue;
    }
    CHECK(s.ends_with('}'));
    s = s.substr(1, s.size() - 2);
    const bool rest = s.ends_with("...");
    if (rest) s.remove_suffix(3);
    route.segments.push_back({rest ? Route::Kind::kRest : Route::Kind::kParam, lower(s)});
  }
  return route;
}

// The parameters as headers "path.name". False: a broken percent escape.
bool take_params(const Route& route, const std::vector<std::string_view>& path, std::string_view whole,
                 Request& request) {
  for (size_t i = 0; i < route.segments.size(); ++i) {
    const auto& s = route.segments[i];
    if (s.kind == Route::Kind::kLiteral) continue;
    std::string_view text;
    if (s.kind == Route::Kind::kParam)
      text = path[i];
    else if (i < path.size())
      text = whole.substr(static_cast<size_t>(path[i].data() - whole.data()));
    auto decoded = percent_decode(text);
    if (!decoded) return false;
    request.headers.emplace_back("path." + s.text, *std::move(decoded));
  }
  return true;
}

std::string extra_lines(const Reply& reply) {
  std::string out;
  for (const auto& [name, value] : reply.headers) {
    if (is_token(name) && is_field_value(value)) {
      out.append(name).append(": ").append(value).append("\r\n");
    } else {
      LOG(error, "a handler's reply field '{}' is malformed and was left out", name);
    }
  }
  return out;
}

std::string_view find(const std::vector<std::pair<std::string, std::string>>& headers, std::string_view name) {
  for (const auto& [n, value] : headers)
    if (n == name) return value;
  return {};
}

}  // namespace

std::string_view Request::header(std::string_view lower_name) const { return find(headers, lower_name); }

std::optional<std::string> Request::param(std::string_view name) const {
  const auto decode = [](std::string_view s) {
    std::string spaced(s);
    std::replace(spaced.begin(), spaced.end(), '+', ' ');
    return percent_decode(spaced);
  };
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(item.size() + 1, rest.size()));
    const size_t equals = item.find('=');
    if (decode(item.substr(0, equals)) != name) continue;
    return equals == item.npos ? std::string() : decode(item.substr(equals + 1));
  }
  return std::nullopt;
}

Reply error_reply(const Error& error) {
  Reply reply;
  reply.status = http_status(error.code);
  reply.body = error_json(error);
  if (reply.status == 429 || reply.status == 503) reply.headers.emplace_back("retry-after", "1");
  if (reply.status == 401) reply.headers.emplace_back("www-authenticate", "Bearer");
  return reply;
}

struct Router::State {
  State(async::Loop& l, Options o) : loop(l), options(o), scope(l) {}

  class Call;
  ExchangeHandler* begin(Exchange& exchange, const RequestHead& head);
  const Route* match(std::string_view method, const std::vector<std::string_view>& path, std::string& others) const;
  async::Task<void> run(std::shared_ptr<Call> call);

  async::Loop& loop;
  Options options;
  std::deque<Route> routes;  // calls keep pointers into it
  std::function<Result<void>(const Request&)> guard;
  async::Scope scope;
};

class Router::State::Call final : public ExchangeHandler, public ReplyStream {
 public:
  Call(State& state, Exchange& exchange, Request request)
      : state_(state), exchange_(&exchange), request_(std::move(request)), room_(state.loop) {}

  std::shared_ptr<Call> hold() { return own_ = std::shared_ptr<Call>(this); }
  void set_route(const Route* route) { route_ = route; }

  void on_body(std::string_view data) override {
    exchange_->consumed(data.size());
    if (answered_) return;
    if (request_.body.size() + data.size() > state_.options.max_body) return refuse_size();
    request_.body += data;
  }
  void on_end(std::string_view) override {
    if (answered_) return;
    if (state_.scope.stopping()) {
      answer(error_reply(unavailable("the server is stopping", "stopping")));
    } else {
      state_.scope.spawn(state_.run(own_));
    }
  }
  void on_writable() override { room_.notify(); }
  void on_done(bool) override {
    exchange_ = nullptr;
    room_.notify();
    const auto last = std::move(own_);  // may free this
  }

  void answer(const Reply& reply) {
    if (!exchange_ || std::exchange(answered_, true)) return;
    reply_with(*exchange_, reply.status, reply.content_type, reply.body, extra_lines(reply));
  }
  void refuse_size() {
    Reply reply = error_reply(
        invalid_argument("the body is larger than the limit of " + std::to_string(state_.options.max_body) + " bytes",
                         "body_too_large"));
    reply.status = 413;
    answer(reply);
  }

  void start(int status, std::string_view content_type) override {
    if (!exchange_ || std::exchange(answered_, true)) return;
    exchange_->reply(
        HeadWriter::reply(status).field("content-type", content_type).field("cache-control", "no-store").finish(), {},
        More::kYes);
  }
  async::Task<bool> write(std::string_view data) override {
    while (exchange_ && exchange_->writable() <= 0)
      if (!co_await room_.wait(state_.scope)) co_return false;
    if (!exchange_ || !answered_) co_return false;
    exchange_->body(data, More::kYes);
    co_return true;
  }
  bool closed() const override { return exchange_ == nullptr; }

  Request take_request() { return std::move(request_); }
  const Route& route() const { return *route_; }
  void end_stream() {
    if (!exchange_) return;
    if (answered_)
      exchange_->end({});
    else
      answer(error_reply(internal_error("the handler gave no reply")));
  }

 private:
  State& state_;
  Exchange* exchange_;
  Request request_;
  const Route* route_ = nullptr;
  async::Signal room_;
  bool answered_ = false;
  std::shared_ptr<Call> own_;  // until on_done
};

async::Task<void> Router::State::run(std::shared_ptr<Call> call) {
  const Route& route = call->route();
  if (route.unary) {
    const Reply reply = co_await route.unary(call->take_request());
    call->answer(reply);
  } else {
    co_await route.stream(call->take_request(), *call);
    call->end_stream();
  }
}

// `others`: the methods that the path knows, when this one is not among them.
const Route* Router::State::match(std::string_view method, const std::vector<std::string_view>& path,
                                  std::string& others) const {
  const Route* best = nullptr;
  std::string best_score, score;
  for (const Route& r : routes) {
    if (!r.fits(path, score)) continue;
    if (r.method != method && !(method == "HEAD" && r.method == "GET")) {
      if (others.find(r.method) == others.npos) others += (others.empty() ? "" : ", ") + r.method;
      continue;
    }
    if (!best || score > best_score) {
      best = &r;
      best_score = score;
    }
  }
  return best;
}

ExchangeHandler* Router::State::begin(Exchange& exchange, const RequestHead& head) {
  Request request;
  request.method = head.method;
  request.path = head.path;
  request.query = head.query;
  request.peer = exchange.peer();
  request.deadline = exchange.deadline();
  request.headers.reserve(head.count + 2);
  for (const Field& f : head.fields()) {
    std::string name = lower(f.name);
    if (!name.starts_with("path.")) request.headers.emplace_back(std::move(name), f.value);
  }
  std::string others;
  const auto path = split(head.path);
  const Route* route = match(head.method, path, others);
  const bool params = !route || take_params(*route, path, head.path, request);

  std::optional<Reply> refusal;
  if (guard)
    if (auto allowed = guard(request); !allowed) refusal = error_reply(allowed.error());
  if (refusal) {
  } else if (!route && !others.empty()) {
    refusal = error_reply(unimplemented(
        std::string(head.method) + " is not offered by " + std::string(head.path) + "; it knows " + others,
        "method_not_allowed"));
    refusal->status = 405;
    refusal->headers.emplace_back("allow", others);
  } else if (!route) {
    std::string known;
    for (const Route& r : routes) {
      if (known.find(r.pattern) != known.npos) continue;
      if (std::count(known.begin(), known.end(), ' ') >= static_cast<ptrdiff_t>(kMaxNamed)) break;
      known += (known.empty() ? "" : ", ") + r.pattern;
    }
    refusal =
        error_reply(not_found("there is no " + std::string(head.path) + " here; known are " + known, "no_such_path"));
  } else if (!params) {
    refusal = error_reply(invalid_argument("the path holds a broken percent escape: " + std::string(head.path)));
  }

  auto* call = new Call(*this, exchange, std::move(request));
  const auto held = call->hold();
  if (refusal) {
    call->answer(*refusal);
  } else {
    call->set_route(route);
    if (head.content_length.value_or(0) > options.max_body) call->refuse_size();
  }
  return call;
}

Router::Router(async::Loop& loop, Options options) : state_(std::make_unique<State>(loop, options)) {}
Router::~Router() = default;

void Router::unary(std::string_view method, std::string_view pattern, UnaryFn fn) {
  Route route = parse_route(method, pattern);
  route.unary = std::move(fn);
  state_->routes.push_back(std::move(route));
}

void Router::stream(std::string_view method, std::string_view pattern, StreamFn fn) {
  Route route = parse_route(method, pattern);
  route.stream = std::move(fn);
  state_->routes.push_back(std::move(route));
}

void Router::guard(std::function<Result<void>(const Request&)> fn) { state_->guard = std::move(fn); }

async::Task<void> Router::stop() {
  state_->scope.stop();
  co_await state_->scope.join();
}

async::Loop& Router::loop() const { return state_->loop; }

ExchangeHandler* Router::on_request(Exchange& exchange, const RequestHead& head) {
  return state_->begin(exchange, head);
}

}  // namespace colony::http
