// HTTP/2 with prior knowledge, and gRPC on it: nghttp2's client side, many requests at a time, one write per turn.
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "bench/loadgen/connection.h"

namespace colony::loadgen {
namespace {

constexpr int32_t kWindow = 64 << 20;  // of the connection; a stream gets a quarter
constexpr size_t kOutLimit = 256u << 10;

struct Stream {
  Call call;
  Body body;
  ReplyCheck check;
  size_t sent = 0;
  int status = 0, grpc_status = -1;
  bool answered = false, used = false;
};

nghttp2_nv field(std::string_view name, std::string_view value) {
  nghttp2_nv nv{};
  nv.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));    // NOLINT: nghttp2 copies it
  nv.value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));  // NOLINT: nghttp2 copies it
  nv.namelen = name.size();
  nv.valuelen = value.size();
  return nv;
}

class H2Connection final : public Connection {
 public:
  H2Connection(size_t id, int fd, Sink& sink, size_t streams, std::string authority)
      : Connection(id, fd, sink), streams_(streams), authority_(std::move(authority)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void*) {
          if (auto* s = stream(session, frame->hd.stream_id))
            on_field(*s, {reinterpret_cast<const char*>(name), name_size},
                     {reinterpret_cast<const char*>(value), value_size});
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session* session, uint8_t, int32_t id_, const uint8_t* data, size_t size, void*) {
          if (auto* s = stream(session, id_)) s->check.feed({reinterpret_cast<const char*>(data), size});
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks,
                                                         [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
                                                           auto* me = static_cast<H2Connection*>(self);
                                                           if (frame->hd.type == NGHTTP2_GOAWAY) me->leaving_ = true;
                                                           if (frame->hd.type == NGHTTP2_SETTINGS) me->settled_ = true;
                                                           return 0;
                                                         });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session* session, int32_t id_, uint32_t code, void* self) {
          if (auto* s = stream(session, id_)) static_cast<H2Connection*>(self)->on_closed(*s, code);
          return 0;
        });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const std::array<nghttp2_settings_entry, 2> settings = {
        {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow / 4}, {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kWindow);
    pool_ = std::vector<Stream>(streams);
    for (auto& s : pool_) idle_.push_back(&s);
    flush();
  }
  ~H2Connection() override { nghttp2_session_del(session_); }

  // Before the server's SETTINGS one stream is enough: it may allow fewer than we would like.
  size_t room() const override {
    if (closed_ || leaving_) return 0;
    size_t limit = streams_;
    if (settled_)
      limit = std::min<size_t>(limit,
                               nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
    else
      limit = 1;
    return limit > in_flight() ? limit - in_flight() : 0;
  }
  size_t in_flight() const override { return pool_.size() - idle_.size(); }

  void start(const Call& call) override {
    Stream& s = *idle_.back();
    idle_.pop_back();
    s = Stream{.call = call, .body = Body(*call.kind, call.serial), .used = true};
    s.check.begin(*call.kind, call.serial);
    std::vector<nghttp2_nv> fields = {field(":method", "POST"), field(":scheme", "http"),
                                      field(":authority", authority_), field(":path", call.kind->path)};
    for (std::string_view rest = call.kind->headers; !rest.empty();) {
      const size_t end = rest.find("\r\n"), colon = rest.find(": ");
      fields.push_back(field(rest.substr(0, colon), rest.substr(colon + 2, end - colon - 2)));
      rest.remove_prefix(end + 2);
    }
    const std::string size = std::to_string(call.kind->body_size);
    if (call.kind->form == Form::kGrpc)
      fields.push_back(field("te", "trailers"));
    else
      fields.push_back(field("content-length", size));
    nghttp2_data_provider body{};
    body.source.ptr = &s;
    body.read_callback = [](nghttp2_session*, int32_t, uint8_t* out, size_t room, uint32_t* flags,
                            nghttp2_data_source* source, void*) -> ssize_t {
      auto& st = *static_cast<Stream*>(source->ptr);
      std::array<iovec, 3> parts;
      const size_t count = st.body.pieces(*st.call.kind, st.sent, parts);
      size_t used = 0;
      for (size_t i = 0; i < count && used < room; ++i) {
        const size_t n = std::min(room - used, parts[i].iov_len);
        std::memcpy(out + used, parts[i].iov_base, n);
        used += n;
      }
      st.sent += used;
      if (st.sent == st.call.kind->body_size) *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(used);
    };
    const int32_t id = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), &body, &s);
    if (id < 0) {
      leaving_ = true;
      return give_back(s, {Outcome::kStale, nghttp2_strerror(id)});
    }
    if (call.abort) aborting_.push_back(id);
  }

  void flush() override {
    while (!closed_) {
      while (out_.size() - out_at_ < kOutLimit) {
        const uint8_t* data = nullptr;
        const ssize_t n = nghttp2_session_mem_send(session_, &data);
        if (n <= 0) break;
        out_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
      }
      if (out_at_ == out_.size()) break;
      const iovec piece{out_.data() + out_at_, out_.size() - out_at_};
      size_t sent = 0;
      if (!send_some(&piece, 1, sent)) {
        if (errno != EAGAIN) fail(std::strerror(errno));
        break;
      }
      out_at_ += sent;
      if (out_at_ == out_.size()) out_.clear(), out_at_ = 0;
    }
    // The head has left, the body perhaps not: that is when a client leaves.
    if (!aborting_.empty() && !closed_) {
      for (const int32_t id : std::exchange(aborting_, {}))
        if (auto* s = stream(session_, id)) {
          nghttp2_session_set_stream_user_data(session_, id, nullptr);
          nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
          give_back(*s, {Outcome::kAborted, "aborted"});
        }
      flush();
    }
    if (leaving_ && in_flight() == 0) closed_ = true;
  }

  void on_readable(bool ended) override {
    static thread_local std::array<uint8_t, 256u << 10> buffer;
    while (!closed_) {
      const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (n <= 0) return fail(n == 0 ? "closed" : std::strerror(errno));
      bytes_in_ += static_cast<uint64_t>(n);
      const ssize_t took = nghttp2_session_mem_recv(session_, buffer.data(), static_cast<size_t>(n));
      if (took < 0) return fail(nghttp2_strerror(static_cast<int>(took)));
      if (!ended && static_cast<size_t>(n) < buffer.size()) break;
    }
    flush();
  }

  void expire(uint64_t start) override {
    bool late = false;
    for (auto& s : pool_) late = late || (s.used && s.call.started < start);
    if (late) fail("timeout", Outcome::kTimeout);
  }

 private:
  static Stream* stream(nghttp2_session* session, int32_t id) {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static void on_field(Stream& s, std::string_view name, std::string_view value) {
    s.answered = true;
    int* into = name == ":status" ? &s.status : name == "grpc-status" ? &s.grpc_status : nullptr;
    if (into) std::from_chars(value.data(), value.data() + value.size(), *into);
  }

  void on_closed(Stream& s, uint32_t code) {
    std::array<char, 64> text;
    const bool grpc = s.call.kind->form == Form::kGrpc;
    if (code == NGHTTP2_REFUSED_STREAM) return give_back(s, {Outcome::kStale, "refused stream"});
    // NO_ERROR after a whole reply: the server wants no more of the request; that is a reply.
    if (code != NGHTTP2_NO_ERROR) {
      std::snprintf(text.data(), text.size(), "reset: %s", nghttp2_http2_strerror(code));
      return give_back(s, {Outcome::kBroken, text.data()});
    }
    if (s.status / 100 != 2 || (grpc && s.grpc_status != 0)) {
      if (grpc)
        std::snprintf(text.data(), text.size(), "status %d, grpc-status %d", s.status, s.grpc_status);
      else
        std::snprintf(text.data(), text.size(), "status %d", s.status);
      return give_back(s, {Outcome::kStatus, text.data()});
    }
    const bool good = s.check.good() && s.sent == s.call.kind->body_size;
    give_back(s, {good ? Outcome::kGood : Outcome::kWrong, good ? "" : "wrong reply"});
  }

  void give_back(Stream& s, const Done& done) {
    const Call call = s.call;
    s.used = false;
    idle_.push_back(&s);
    sink_.on_done(id_, call, done);
  }

  void fail(std::string_view why, Outcome outcome = Outcome::kBroken) {
    closed_ = true;
    for (auto& s : pool_)
      if (s.used) give_back(s, {outcome, why});
  }

  size_t streams_;
  std::string authority_;
  nghttp2_session* session_ = nullptr;
  std::vector<Stream> pool_;
  std::vector<Stream*> idle_;
  std::vector<int32_t> aborting_;
  std::string out_;
  size_t out_at_ = 0;
  bool leaving_ = false, settled_ = false;
};

}  // namespace

std::unique_ptr<Connection> make_h2(size_t id, int fd, Sink& sink, size_t streams, const std::string& authority) {
  return std::make_unique<H2Connection>(id, fd, sink, streams, authority);
}

}  // namespace colony::loadgen
