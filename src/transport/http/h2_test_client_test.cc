// See h2_test_client.h.
#include "transport/http/h2_test_client.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "base/check.h"
#include "transport/http/h2_head.h"

namespace colony::http::testing {

struct H2TestCallbacks {
  static H2TestClient& self(void* user) { return *static_cast<H2TestClient*>(user); }
  static std::string text(const uint8_t* p, size_t n) { return {reinterpret_cast<const char*>(p), n}; }
  static H2TestCall* find(void* user, int32_t id) {
    auto& calls = self(user).calls_;
    const auto it = calls.find(id);
    return it == calls.end() ? nullptr : it->second.get();
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t, void* user) {
    H2TestCall* call = find(user, frame->hd.stream_id);
    if (call == nullptr) return 0;
    const std::string n = text(name, name_size), v = text(value, value_size);
    if (n == ":status") {
      const int status = std::stoi(v);
      if (status < 200) {
        call->informational.push_back(status);
      } else {
        call->status = status;
      }
    } else if (frame->headers.cat == NGHTTP2_HCAT_HEADERS && call->status != 0) {
      call->trailers[n] = v;
    } else {
      call->headers[n] = v;
    }
    return 0;
  }
  static int on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
    if (H2TestCall* call = find(user, id)) call->body.append(text(data, size));
    if (self(user).auto_consume_) nghttp2_session_consume(session, id, size);
    return 0;
  }
  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& c = self(user);
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      c.goaway = true;
      c.goaway_code = frame->goaway.error_code;
      c.goaway_last_id = frame->goaway.last_stream_id;
      c.goaway_ids.push_back(frame->goaway.last_stream_id);
    }
    if (frame->hd.type == NGHTTP2_SETTINGS) {
      c.max_concurrent = nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    }
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      if (H2TestCall* call = find(user, frame->hd.stream_id)) call->ended = true;
    }
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t id, uint32_t error, void* user) {
    if (H2TestCall* call = find(user, id)) {
      call->closed = true;
      call->error = error;
    }
    self(user).calls_.erase(id);
    return 0;
  }
};

namespace {

nghttp2_nv nv(const std::string& name, const std::string& value) {
  const auto bytes = [](const std::string& s) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(s.data()));  // NOLINT: copied, not written
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

ssize_t read_body(nghttp2_session* session, int32_t id, uint8_t* to, size_t room, uint32_t* flags,
                  nghttp2_data_source* source, void*) {
  auto& call = *static_cast<H2TestCall*>(source->ptr);
  const size_t n = std::min(room, call.out.size() - call.sent);
  if (n == 0 && !call.out_ends) {
    call.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  std::copy_n(call.out.data() + call.sent, n, reinterpret_cast<char*>(to));
  call.sent += n;
  if (call.sent < call.out.size() || !call.out_ends) return static_cast<ssize_t>(n);
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (call.out_trailers.empty()) return static_cast<ssize_t>(n);
  *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  std::vector<std::pair<std::string, std::string>> lines;
  std::string_view rest = call.out_trailers, name, value;
  while (next_line(rest, name, value)) lines.emplace_back(name, value);
  std::vector<nghttp2_nv> list;
  list.reserve(lines.size());
  for (const auto& [k, v] : lines) list.push_back(nv(k, v));
  nghttp2_submit_trailer(session, id, list.data(), list.size());
  return static_cast<ssize_t>(n);
}

void put32(std::string& out, uint32_t n) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(n >> shift));
}
uint32_t get32(std::string_view s) {
  uint32_t n = 0;
  for (int i = 0; i < 4; ++i) n = n << 8 | static_cast<unsigned char>(s[static_cast<size_t>(i)]);
  return n;
}

}  // namespace

H2TestClient::H2TestClient(async::Loop& loop, const async::Endpoint& to, int32_t stream_window)
    : self_(std::make_shared<H2TestClient*>(this)) {
  nghttp2_session_callbacks* cb = nullptr;
  CHECK(nghttp2_session_callbacks_new(&cb) == 0);
  nghttp2_session_callbacks_set_on_header_callback(cb, H2TestCallbacks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, H2TestCallbacks::on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(cb, H2TestCallbacks::on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(cb, H2TestCallbacks::on_close);
  nghttp2_option* options = nullptr;
  CHECK(nghttp2_option_new(&options) == 0);
  nghttp2_option_set_no_auto_window_update(options, 1);
  CHECK(nghttp2_session_client_new2(&session_, cb, this, options) == 0);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(cb);
  const nghttp2_settings_entry window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(stream_window)};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &window, 1);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 1 << 28);
  loop.connect(to, Deadline::never(), [self = self_](Result<std::unique_ptr<async::Stream>> stream) {
    CHECK(stream.has_value());
    (*self)->stream_ = std::move(*stream);
    (*self)->stream_->set_handler(*self);
    (*self)->pull();
  });
}

H2TestClient::~H2TestClient() { nghttp2_session_del(session_); }

std::shared_ptr<H2TestCall> H2TestClient::call(std::string method, std::string path, Fields fields, std::string body,
                                               bool end) {
  auto c = std::make_shared<H2TestCall>();
  c->out = std::move(body);
  c->out_ends = end;
  Fields all{{":method", std::move(method)}, {":scheme", "http"}, {":authority", "test.example"}};
  if (all[0].second != "CONNECT") all.emplace_back(":path", std::move(path));
  all.insert(all.end(), fields.begin(), fields.end());
  std::vector<nghttp2_nv> list;
  for (const auto& [k, v] : all) list.push_back(nv(k, v));
  const nghttp2_data_provider provider{.source = {.ptr = c.get()}, .read_callback = read_body};
  c->id = nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                 c->out.empty() && end ? nullptr : &provider, nullptr);
  CHECK(c->id > 0);
  calls_[c->id] = c;
  pull();
  return c;
}

void H2TestClient::send(H2TestCall& call, std::string_view data, bool end, std::string trailers) {
  call.out.append(data);
  call.out_ends = end;
  call.out_trailers = std::move(trailers);
  if (std::exchange(call.deferred, false)) nghttp2_session_resume_data(session_, call.id);
  pull();
}

void H2TestClient::reset(H2TestCall& call, uint32_t code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call.id, code);
  pull();
}

void H2TestClient::consume(H2TestCall& call, size_t bytes) {
  nghttp2_session_consume(session_, call.id, bytes);
  pull();
}

size_t H2TestClient::on_bytes(std::string_view data) {
  pulling_ = true;
  const auto n = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(data.data()), data.size());
  CHECK(n == static_cast<ssize_t>(data.size()));
  pulling_ = false;
  pull();
  return data.size();
}

void H2TestClient::pull() {
  if (!stream_ || pulling_ || closed) return;
  pulling_ = true;
  const uint8_t* bytes = nullptr;
  while (stream_->pending() < 1 << 20) {
    const auto n = nghttp2_session_mem_send(session_, &bytes);
    if (n <= 0) break;
    stream_->write({reinterpret_cast<const char*>(bytes), static_cast<size_t>(n)});
  }
  pulling_ = false;
}

// ---- bare frames ----

uint32_t RawFrame::code() const {
  const size_t at = type == NGHTTP2_GOAWAY ? 4 : 0;
  return payload.size() >= at + 4 ? get32(std::string_view(payload).substr(at)) : 0xffffffff;
}

std::string raw_frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out;
  put32(out, static_cast<uint32_t>(payload.size()) << 8 | type);
  out.push_back(static_cast<char>(flags));
  put32(out, stream);
  return out.append(payload);
}

std::string raw_field(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  for (const std::string_view s : {name, value}) {
    if (s.size() < 127) {
      out.push_back(static_cast<char>(s.size()));
    } else {
      out.push_back(127);
      size_t n = s.size() - 127;
      for (; n >= 128; n >>= 7) out.push_back(static_cast<char>(n % 128 + 128));
      out.push_back(static_cast<char>(n));
    }
    out.append(s);
  }
  return out;
}

std::string raw_headers(uint32_t stream, bool end_stream, std::string_view method, std::string_view path) {
  return raw_frame(NGHTTP2_HEADERS, static_cast<uint8_t>(NGHTTP2_FLAG_END_HEADERS | (end_stream ? 1 : 0)), stream,
                   raw_field(":method", method) + raw_field(":scheme", "http") + raw_field(":path", path) +
                       raw_field(":authority", "test.example"));
}

H2RawPeer::H2RawPeer(async::Loop& loop, const async::Endpoint& to, bool greet) {
  if (greet) early_ = std::string(kHttp2Preface) + raw_frame(NGHTTP2_SETTINGS, 0, 0, {});
  loop.connect(to, Deadline::never(), [this](Result<std::unique_ptr<async::Stream>> stream) {
    CHECK(stream.has_value());
    stream_ = std::move(*stream);
    stream_->set_handler(this);
    stream_->write(early_);
  });
}

void H2RawPeer::send(std::string_view bytes) {
  if (stream_) {
    if (!stream_->is_closed()) stream_->write(bytes);
  } else {
    early_.append(bytes);
  }
}

size_t H2RawPeer::on_bytes(std::string_view data) {
  size_t used = 0;
  while (data.size() - used >= 9) {
    const std::string_view head = data.substr(used);
    const size_t size = get32(head) >> 8;
    if (head.size() < 9 + size) break;
    frames.push_back({static_cast<uint8_t>(head[3]), static_cast<uint8_t>(head[4]), get32(head.substr(5)),
                      std::string(head.substr(9, size))});
    used += 9 + size;
  }
  return used;
}

const RawFrame* H2RawPeer::first(uint8_t type) const {
  const auto it = std::find_if(frames.begin(), frames.end(), [type](const RawFrame& f) { return f.type == type; });
  return it == frames.end() ? nullptr : &*it;
}

size_t H2RawPeer::count(uint8_t type) const {
  return static_cast<size_t>(
      std::count_if(frames.begin(), frames.end(), [type](const RawFrame& f) { return f.type == type; }));
}

// ---- the server ----

H2TestServer::H2TestServer(async::Loop& loop, const async::Endpoint& at, Service& service, ServerOptions options)
    : loop_(loop), options_(options), context_{loop, service, options_, stats, [this](Connection& c) {
                                                 loop_.post([this, which = &c, alive = std::weak_ptr<int>(alive_)] {
                                                   if (!alive.expired()) connections_.erase(which);
                                                 });
                                               }} {
  auto listener = loop.listen(at, [this](std::unique_ptr<async::Stream> stream) {
    auto c = serve_http2(std::move(stream), context_);
    Connection* key = c.get();
    connections_.emplace(key, std::move(c));
  });
  CHECK(listener.has_value());
  listener_ = std::move(*listener);
}

H2TestServer::~H2TestServer() = default;

void H2TestServer::drain() {
  for (auto& [key, c] : connections_) c->drain();
}

}  // namespace colony::http::testing
