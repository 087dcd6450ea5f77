// One connection to an h2c backend: what nghttp2 wants to send, gathered once a turn, and what a call's head becomes. What
// nghttp2 reports is in h2_wire_callbacks.cc.
#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cctype>

#include "transport/backend/h2_link.h"

namespace colony::backend {
namespace {

constexpr size_t kOutbox = 256 * 1024;  // LIMIT: bytes under way to the kernel
constexpr Duration kGreetTimeout = 2s;  // LIMIT: until the backend's SETTINGS
constexpr Duration kSilence = 20s;      // with calls open: ping; as long again without an answer: dead

nghttp2_nv pair(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view s) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(s.data()));  // NOLINT: nghttp2 copies and does not write
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

// What is left of the deadline, as gRPC writes it: at most 8 digits and a unit.
std::string grpc_timeout(Deadline deadline, TimePoint now) {
  const auto ms = std::max<int64_t>(1, to_ms(deadline.left(now)));
  return ms < 100'000'000 ? fmt::format("{}m", ms) : fmt::format("{}S", std::min<int64_t>(ms / 1000, 99'999'999));
}

}  // namespace

H2Wire::H2Wire(H2Link& link, async::Loop& loop, std::unique_ptr<async::Stream> stream)
    : link_(link),
      loop_(loop),
      stream_(std::move(stream)),
      heard_(loop.now()),
      greet_(loop, [this] { broken("it sent no HTTP/2 settings"); }),
      again_(loop, [this] { link_.mark_dirty(); }) {
  session_ = new_client_session(*this);
  stream_->set_handler(this);
  greet_.arm_after(kGreetTimeout);
}

H2Wire::~H2Wire() { nghttp2_session_del(session_); }

void H2Wire::broken(std::string_view why) {
  if (closed_) return;
  const bool talked = greeted_;
  link_.drop_wire(*this,
                  link_.error(fmt::format("{}: {}", talked ? "broke the connection" : "does not speak HTTP/2", why),
                              talked ? "link_broken" : "connect_failed", talked ? Retry::kIfFresh : Retry::kYes));
}

size_t H2Wire::on_bytes(std::string_view data) {
  if (closed_) return data.size();
  heard_ = loop_.now();
  pinged_ = false;
  in_session_ = true;
  const auto rc = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(data.data()), data.size());
  in_session_ = false;
  if (rc < 0 && !closed_) broken(nghttp2_strerror(static_cast<int>(rc)));
  link_.serve_waiting();
  link_.mark_dirty();
  return data.size();
}

void H2Wire::on_drained() { link_.mark_dirty(); }
void H2Wire::on_end() { broken("it ended the connection"); }
void H2Wire::on_closed(const Error& error) { broken(error.message); }

void H2Wire::look(TimePoint now) {
  if (closed_ || open_ == 0 || now - heard_ < kSilence) return;
  if (pinged_) return broken("no answer to a ping");
  pinged_ = true;
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  link_.mark_dirty();
}

// ---- requests ----

bool H2Wire::submit(H2Call& call, const http::RequestHead& head) {
  nghttp2_nv list[http::kMaxInnerFields + 4];
  size_t n = 0;
  std::string lower, timeout, target;
  lower.reserve(head.block.size());
  if (head.target.starts_with('/')) {
    target = head.target;
  } else {
    target = head.path;
    if (!head.query.empty()) target.append(1, '?').append(head.query);
  }
  list[n++] = pair(":method", head.method);
  list[n++] = pair(":scheme", "http");
  list[n++] = pair(":path", target);
  if (!head.authority.empty()) list[n++] = pair(":authority", head.authority);
  for (const http::Field& f : head.fields()) {
    if (f.hop_by_hop) continue;
    const size_t at = lower.size();
    for (const char c : f.name) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const std::string_view name = std::string_view(lower).substr(at);
    // A body that is here already waits for no 100 Continue.
    if (name == "host" || (name == "expect" && (call.ended || !call.body.empty()))) continue;
    std::string_view value = f.value;
    if (name == "grpc-timeout" && !call.deadline.is_never()) value = timeout = grpc_timeout(call.deadline, loop_.now());
    list[n++] = pair(name, value);
  }
  // gRPC ends a call's messages on a DATA frame, be it empty; its servers may wait for one.
  const bool bare = call.ended && call.body.empty() && call.trailers.empty() && !head.is_grpc();
  nghttp2_data_provider provider{
      .source = {.ptr = &call},
      .read_callback = [](nghttp2_session* session, int32_t id, uint8_t*, size_t room, uint32_t* flags,
                          nghttp2_data_source* source, void* user) -> ssize_t {
        auto& wire = *static_cast<H2Wire*>(user);
        auto& c = *static_cast<H2Call*>(source->ptr);
        if (c.wire != &wire || c.stream != id) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // over meanwhile
        const size_t have = c.buffered();
        if (have == 0 && !c.ended) {
          c.deferred = true;
          return NGHTTP2_ERR_DEFERRED;
        }
        const size_t take = std::min(have, room);
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        if (take < have || !c.ended) return static_cast<ssize_t>(take);
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (c.trailers.empty()) return static_cast<ssize_t>(take);
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::vector<nghttp2_nv> fields;
        std::string names;
        names.reserve(c.trailers.size());
        std::string_view lines = c.trailers;
        while (!lines.empty()) {
          const size_t eol = lines.find("\r\n"), colon = lines.find(':');
          if (eol == std::string_view::npos || colon > eol) break;
          const size_t at = names.size();
          for (const char x : lines.substr(0, colon))
            names += static_cast<char>(std::tolower(static_cast<unsigned char>(x)));
          std::string_view value = lines.substr(colon + 1, eol - colon - 1);
          while (value.starts_with(' ')) value.remove_prefix(1);
          fields.push_back(pair(std::string_view(names).substr(at), value));
          lines.remove_prefix(eol + 2);
        }
        nghttp2_submit_trailer(session, id, fields.data(), fields.size());
        return static_cast<ssize_t>(take);
      }};
  const int32_t id = nghttp2_submit_request(session_, nullptr, list, n, bare ? nullptr : &provider, &call);
  if (id < 0) {
    goaway_ = true;  // its stream numbers are used up
    return false;
  }
  call.wire = this;
  call.stream = id;
  ++open_;
  return true;
}

void H2Wire::resume(H2Call& call) {
  if (std::exchange(call.deferred, false)) nghttp2_session_resume_data(session_, call.stream);
  link_.mark_dirty();
}

void H2Wire::consumed(H2Call& call, size_t bytes) {
  const size_t n = std::min(bytes, call.unconsumed);
  if (n == 0 || closed_) return;
  call.unconsumed -= n;
  nghttp2_session_consume(session_, call.stream, n);
  link_.mark_dirty();
}

void H2Wire::forget(H2Call& call, bool cancel) {
  std::erase(roomy_, &call);
  if (closed_) return;
  nghttp2_session_set_stream_user_data(session_, call.stream, nullptr);
  if (call.unconsumed > 0) nghttp2_session_consume_connection(session_, std::exchange(call.unconsumed, 0));
  if (cancel) nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call.stream, NGHTTP2_CANCEL);
  link_.mark_dirty();
}

// ---- output ----

void H2Wire::pull() {
  in_session_ = true;
  pull_stopped_ = false;
  for (;;) {
    if (out_.size() + stream_->pending() >= kOutbox) {
      pull_stopped_ = true;
      break;
    }
    const uint8_t* bytes = nullptr;
    const auto n = nghttp2_session_mem_send(session_, &bytes);
    if (n <= 0) {
      broken_ = n < 0;
      break;
    }
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
  }
  in_session_ = false;
}

void H2Wire::flush() {
  if (out_.empty()) return;
  stream_->write_now(out_);
  if (out_.capacity() > 64 * 1024)
    out_ = std::string();
  else
    out_.clear();
}

void H2Wire::end_of_turn() {
  if (closed_ || in_session_) return;
  for (int round = 0; round < 4; ++round) {
    pull();
    flush();
    const bool more = !roomy_.empty();
    for (H2Call* c : std::exchange(roomy_, {}))
      if (c->handler && c->wire == this) c->handler->on_writable();
    if (closed_ || (!more && !(pull_stopped_ && stream_->pending() == 0))) break;
  }
  if (closed_) return;
  if (pull_stopped_ && stream_->pending() == 0) again_.arm_after(Duration::zero());
  if (broken_) return broken("nothing can be sent any more");
  const bool over = nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
  if (over || (goaway_ && open_ == 0)) broken("it said goodbye");
}

}  // namespace colony::backend
