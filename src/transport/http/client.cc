// The control client: one ClientConnection per stream does one request at a time and goes back to the pool when the reply
// left it clean. The coroutine that waits is resumed by post(), never from inside a stream's callback.
#include "transport/http/client.h"

#include <algorithm>
#include <list>
#include <map>
#include <set>

#include "async/scope.h"
#include "base/check.h"
#include "transport/http/chunked.h"
#include "transport/http/head.h"

namespace colony::http {
namespace {

constexpr size_t kMaxIdlePerEndpoint = 8;  // LIMIT
constexpr Duration kIdleTime = 30s;        // LIMIT: below what servers keep an idle connection

class ClientConnection final : public async::StreamHandler {
 public:
  using Sink = std::function<bool(std::string_view)>;

  ClientConnection(async::Loop& loop, std::unique_ptr<async::Stream> stream)
      : loop_(loop), stream_(std::move(stream)), timer_(loop, [this] { on_timer(); }) {
    stream_->set_handler(this);
  }

  void start(const ClientRequest& request, const std::string& head, size_t max_bytes, Sink sink) {
    busy_ = true;
    done_ = false;
    error_.reset();
    reply_ = {};
    phase_ = Phase::kHead;
    head_request_ = request.method == "HEAD";
    max_bytes_ = max_bytes;
    heard_ = false;
    sink_ = std::move(sink);
    decoder_.reset();
    stream_->write(head);
    if (!request.body.empty()) stream_->write(request.body);
  }

  // Until the reply is whole, has failed, or the time is up. `idle`: the limit moves with each piece that comes.
  struct Wait {
    ClientConnection& c;
    Deadline deadline;
    Duration idle;
    bool await_ready() const { return c.done_; }
    void await_suspend(std::coroutine_handle<> h) {
      c.waiter_ = h;
      c.idle_limit_ = idle;
      if (!deadline.is_never()) c.timer_.arm(deadline.time());
    }
    void await_resume() const {
      c.timer_.cancel();
      c.idle_limit_ = Duration::zero();
    }
  };
  Wait wait(Deadline deadline, Duration idle = Duration::zero()) { return {*this, deadline, idle}; }

  bool done() const { return done_; }
  bool heard() const { return heard_; }  // at least one byte of the reply came
  bool lost() const { return stream_ == nullptr || ended_; }
  bool stopped() const { return stopped_; }  // the sink wanted no more
  std::optional<Error>& error() { return error_; }
  ClientReply take_reply() { return std::move(reply_); }
  void cancel() {
    if (!done_) fail_with(cancelled("the client was closed", "client_closed"));
  }
  bool reusable() const { return done_ && !error_ && !stopped_ && keep_ && !lost(); }

  void rest(std::function<void(ClientConnection&)> on_dead) {
    busy_ = false;
    sink_ = nullptr;
    on_dead_ = std::move(on_dead);
    timer_.arm_after(kIdleTime);
  }
  void wake() {
    on_dead_ = nullptr;
    timer_.cancel();
  }

  size_t on_bytes(std::string_view data) override {
    if (!busy_ || done_) {  // nobody asked
      keep_ = false;
      dead();
      return data.size();
    }
    heard_ = true;
    if (idle_limit_ > Duration::zero()) timer_.arm_after(idle_limit_);
    size_t used = 0;
    while (!done_) {
      size_t n = 0;
      const bool more = step(data.substr(used), n);
      used += n;
      if (!more) break;
    }
    if (done_ && used < data.size()) keep_ = false;
    return done_ ? data.size() : used;
  }

  void on_end() override {
    ended_ = true;
    if (!busy_) return dead();
    if (done_) return;
    if (phase_ == Phase::kUntilClose)
      complete();
    else
      fail_with(heard_ ? data_loss("the connection ended inside the reply", "cut_reply")
                       : unavailable("the connection ended before a reply came", "connection"));
  }

  void on_closed(const Error& error) override {
    ended_ = true;
    if (!busy_) return dead();
    if (!done_)
      fail_with(heard_ ? data_loss("the connection broke inside the reply: " + error.message, "cut_reply") : error);
  }

 private:
  enum class Phase : uint8_t { kHead, kLength, kChunked, kUntilClose };

  bool step(std::string_view rest, size_t& used) {
    switch (phase_) {
      case Phase::kHead: return take_head(rest, used);
      case Phase::kLength:
        used = std::min<uint64_t>(left_, rest.size());
        left_ -= used;
        if (!give(rest.substr(0, used))) return false;
        if (left_ == 0) complete();
        return false;
      case Phase::kUntilClose:
        used = rest.size();
        give(rest);
        return false;
      case Phase::kChunked: {
        std::string_view piece;
        switch (decoder_.next(rest, used, piece)) {
          case ChunkedDecoder::Event::kNeedMore: return false;
          case ChunkedDecoder::Event::kData: return give(piece);
          case ChunkedDecoder::Event::kEnd: complete(); return false;
          case ChunkedDecoder::Event::kBad:
            fail_with(data_loss("the reply is malformed: " + std::string(piece), "bad_reply"));
        }
        return false;
      }
    }
    return false;
  }

  bool take_head(std::string_view rest, size_t& used) {
    if (rest.empty()) return false;
    ReplyHead head;
    ParseError error;
    const ParseState state = parse_reply_head(rest, head, error);
    if (state == ParseState::kNeedMore) return false;
    if (state == ParseState::kBad) {
      fail_with(data_loss("the reply's head is malformed: " + std::string(error.message), "bad_reply"));
      return false;
    }
    used = head.block.size();
    if (head.status < 200 && head.status != 101) return true;  // an interim reply
    reply_.status = head.status;
    for (const Field& f : head.fields()) {
      std::string name(f.name);
      for (char& c : name)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
      reply_.headers.emplace_back(std::move(name), f.value);
    }
    keep_ = !head.close && head.status != 101;
    if (head_request_ || head.bodiless() || (head.content_length && *head.content_length == 0)) {
      complete();
      return false;
    }
    if (head.chunked) {
      phase_ = Phase::kChunked;
    } else if (head.content_length) {
      phase_ = Phase::kLength;
      left_ = *head.content_length;
      if (!sink_) {
        if (left_ > max_bytes_) return too_large();
        reply_.body.reserve(left_);
      }
    } else {
      phase_ = Phase::kUntilClose;
      keep_ = false;
    }
    return true;
  }

  bool too_large() {
    fail_with(resource_exhausted("the reply is larger than the limit of " + std::to_string(max_bytes_) + " bytes",
                                 "reply_too_large"));
    return false;
  }

  bool give(std::string_view data) {
    if (data.empty()) return true;
    if (sink_) {
      if (sink_(data)) return true;
      stopped_ = true;
      complete();
      return false;
    }
    if (reply_.body.size() + data.size() > max_bytes_) return too_large();
    reply_.body += data;
    return true;
  }

  void fail_with(Error error) {
    error_ = std::move(error);
    complete();
  }
  void complete() {
    done_ = true;
    if (auto h = std::exchange(waiter_, {})) loop_.post([h] { h.resume(); });
  }
  void on_timer() {
    if (!busy_)
      dead();
    else if (auto h = std::exchange(waiter_, {}))
      h.resume();
  }
  void dead() {
    if (auto f = std::exchange(on_dead_, nullptr)) f(*this);  // frees this
  }

  async::Loop& loop_;
  std::unique_ptr<async::Stream> stream_;
  async::Timer timer_;
  std::coroutine_handle<> waiter_;
  std::function<void(ClientConnection&)> on_dead_;
  Sink sink_;
  ClientReply reply_;
  std::optional<Error> error_;
  ChunkedDecoder decoder_;
  Duration idle_limit_ = Duration::zero();
  uint64_t left_ = 0;
  size_t max_bytes_ = 0;
  Phase phase_ = Phase::kHead;
  bool busy_ = false, done_ = false, heard_ = false, keep_ = false, ended_ = false, stopped_ = false,
       head_request_ = false;
};

// What came of a request on a pooled connection that its server was closing, nobody can tell: so one that may not be
// carried out twice takes a new connection.
bool may_be_repeated(const ClientRequest& request) {
  if (request.idempotent) return *request.idempotent;
  const std::string_view m = request.method;
  return m == "GET" || m == "HEAD" || m == "OPTIONS" || m == "PUT" || m == "DELETE";
}

std::string host_of(const async::Endpoint& to) {
  const std::string& text = to.text;
  const bool plain =
      !to.is_unix() && !text.empty() &&
      text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]") == text.npos &&
      text.find(':') == text.rfind(':');
  const bool bracketed = !to.is_unix() && text.starts_with('[');
  return plain || bracketed ? text : "localhost";
}

Result<std::string> head_of(const async::Endpoint& to, const ClientRequest& request) {
  if (!is_token(request.method)) return fail(invalid_argument("'" + request.method + "' is no HTTP method"));
  for (char c : request.target)
    if (c <= ' ' || c == 0x7f)
      return fail(invalid_argument("the target '" + request.target + "' holds a space or a control character"));
  if (request.target.empty()) return fail(invalid_argument("the request's target is empty"));
  HeadWriter head = HeadWriter::request(request.method, request.target);
  bool host = false, length = !request.body.empty() || request.method == "POST" || request.method == "PUT" ||
                              request.method == "PATCH";
  for (const auto& [name, value] : request.headers) {
    if (!is_token(name) || !is_field_value(value))
      return fail(invalid_argument("the request's field '" + name + "' is malformed"));
    std::string lower(name);
    for (char& c : lower)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    if (lower == "content-length" || lower == "transfer-encoding")
      return fail(invalid_argument("the client itself sets " + lower));
    host |= lower == "host";
    head.field(name, value);
  }
  if (!host) head.field("host", host_of(to));
  if (length) head.field("content-length", request.body.size());
  return head.finish();
}

}  // namespace

std::string_view ClientReply::header(std::string_view lower_name) const {
  for (const auto& [name, value] : headers)
    if (name == lower_name) return value;
  return {};
}

struct Client::State {
  async::Loop& loop;
  size_t max_reply_bytes;
  std::map<std::string, std::vector<std::unique_ptr<ClientConnection>>> idle;
  std::set<ClientConnection*> running;
  using Connected = async::OneShot<Result<std::unique_ptr<async::Stream>>>;
  std::list<Connected::Setter> connecting;
  bool closed = false;

  // The loop's connect cannot be taken back: what comes after close() is dropped.
  async::Task<Result<std::unique_ptr<async::Stream>>> connect(async::Endpoint to, Deadline deadline) {
    Connected connected(loop);
    const auto entry = connecting.insert(connecting.end(), connected.setter());
    loop.connect(to, deadline, [setter = connected.setter()](Result<std::unique_ptr<async::Stream>> stream) {
      setter.set(std::move(stream));
    });
    auto stream = co_await connected.wait(Deadline::never());
    connecting.erase(entry);
    if (!stream) co_return fail(std::move(stream).error());
    co_return std::move(*stream);
  }

  std::unique_ptr<ClientConnection> take_idle(const async::Endpoint& to) {
    auto it = idle.find(to.text);
    if (it == idle.end()) return nullptr;
    auto c = std::move(it->second.back());
    it->second.pop_back();
    if (it->second.empty()) idle.erase(it);
    c->wake();
    return c;
  }

  void keep(const std::string& to, std::unique_ptr<ClientConnection> connection) {
    auto& list = idle[to];
    if (list.size() >= kMaxIdlePerEndpoint) return;
    connection->rest([this, to](ClientConnection& c) {
      auto it = idle.find(to);
      if (it == idle.end()) return;
      std::erase_if(it->second, [&](const auto& own) { return own.get() == &c; });
      if (it->second.empty()) idle.erase(it);
    });
    list.push_back(std::move(connection));
  }

  // One request on a pooled or fresh connection, up to the whole reply. The connection is pooled again when it is clean.
  async::Task<Result<ClientReply>> ask(async::Endpoint to, ClientRequest request, Deadline deadline,
                                       Duration idle_limit, ClientConnection::Sink sink) {
    CO_TRY(const std::string head, head_of(to, request));
    const std::string what = request.method + " " + request.target + " at " + to.text;
    for (bool fresh = !may_be_repeated(request);; fresh = true) {
      if (closed) co_return fail(cancelled(what + ": the client was closed", "client_closed"));
      auto connection = fresh ? nullptr : take_idle(to);
      const bool pooled = connection != nullptr;
      if (!pooled) {
        auto stream = co_await connect(to, deadline);
        if (!stream && closed) co_return fail(cancelled(what + ": the client was closed", "client_closed"));
        if (!stream) {
          Error e = std::move(stream).error();
          if (e.code != Code::kDeadlineExceeded) e.code = Code::kUnavailable;
          e.origin = Origin::kUpstream;
          co_return fail(std::move(e).within(what));
        }
        connection = std::make_unique<ClientConnection>(loop, std::move(*stream));
        if (closed) co_return fail(cancelled(what + ": the client was closed", "client_closed"));
      }
      connection->start(request, head, max_reply_bytes, sink);
      running.insert(connection.get());
      co_await connection->wait(deadline, idle_limit);
      running.erase(connection.get());
      if (!connection->done()) co_return fail(deadline_exceeded(what + ": no whole reply in time"));
      if (auto& e = connection->error()) {
        if (pooled && !connection->heard() && !closed && !deadline.passed(loop.now())) continue;
        co_return fail(std::move(*e).within(what));
      }
      ClientReply reply = connection->take_reply();
      if (connection->reusable()) keep(to.text, std::move(connection));
      co_return reply;
    }
  }
};

Client::Client(async::Loop& loop, size_t max_reply_bytes) : state_(new State{loop, max_reply_bytes, {}, {}, {}}) {}
Client::~Client() = default;

void Client::close() {
  state_->closed = true;
  state_->idle.clear();
  for (const auto& setter : state_->connecting) setter.set(fail(cancelled("the client was closed", "client_closed")));
  for (ClientConnection* c : state_->running) c->cancel();
}

async::Task<Result<ClientReply>> Client::fetch(async::Endpoint to, ClientRequest request, Deadline deadline) {
  return state_->ask(std::move(to), std::move(request), deadline, Duration::zero(), nullptr);
}

async::Task<Result<ClientReply>> Client::stream(async::Endpoint to, ClientRequest request, Deadline connect_deadline,
                                                Duration idle, std::function<bool(std::string_view)> on_chunk) {
  return state_->ask(std::move(to), std::move(request), connect_deadline, idle, std::move(on_chunk));
}

}  // namespace colony::http
