// The origin behind HAProxy in bench/grpc.py: echoes every body over HTTP/2 on a unix socket, with gRPC's trailers when it is
// asked by gRPC; one thread, nghttp2, one write per read. It is no part of Colony.
//   h2_origin UNIX_PATH
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "bench/origins/serve_unix.h"

namespace {

struct Stream {
  std::string body;
  size_t sent = 0;
  bool grpc = false;
};

nghttp2_nv field(std::string_view name, std::string_view value) {
  nghttp2_nv nv{};
  nv.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  nv.value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  nv.namelen = name.size();
  nv.valuelen = value.size();
  return nv;
}

Stream* stream(nghttp2_session* session, int32_t id) {
  return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
}

ssize_t read_body(nghttp2_session* session, int32_t id, uint8_t* out, size_t room, uint32_t* flags,
                  nghttp2_data_source* source, void*) {
  auto& s = *static_cast<Stream*>(source->ptr);
  const size_t n = std::min(room, s.body.size() - s.sent);
  std::memcpy(out, s.body.data() + s.sent, n);
  s.sent += n;
  if (s.sent == s.body.size()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s.grpc) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const std::array<nghttp2_nv, 1> trailers = {field("grpc-status", "0")};
      nghttp2_submit_trailer(session, id, trailers.data(), trailers.size());
    }
  }
  return static_cast<ssize_t>(n);
}

void answer(nghttp2_session* session, int32_t id, Stream& s) {
  const std::array<nghttp2_nv, 2> head = {
      field(":status", "200"), field("content-type", s.grpc ? "application/grpc" : "application/octet-stream")};
  nghttp2_data_provider body{};
  body.source.ptr = &s;
  body.read_callback = read_body;
  nghttp2_submit_response(session, id, head.data(), head.size(), &body);
}

nghttp2_session* make_session() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(
      callbacks, [](nghttp2_session* session, const nghttp2_frame* frame, void*) {
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
          nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, std::make_unique<Stream>().release());
        return 0;
      });
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks, [](nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t, void*) {
        const std::string_view n(reinterpret_cast<const char*>(name), name_size);
        const std::string_view v(reinterpret_cast<const char*>(value), value_size);
        if (auto* s = stream(session, frame->hd.stream_id); s && n == "content-type") s->grpc = v == "application/grpc";
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks, [](nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size, void*) {
        if (auto* s = stream(session, id)) s->body.append(reinterpret_cast<const char*>(data), size);
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      callbacks, [](nghttp2_session* session, const nghttp2_frame* frame, void*) {
        if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
          if (auto* s = stream(session, frame->hd.stream_id)) answer(session, frame->hd.stream_id, *s);
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                         [](nghttp2_session* session, int32_t id, uint32_t, void*) {
                                                           std::unique_ptr<Stream>(stream(session, id)).reset();
                                                           return 0;
                                                         });
  nghttp2_session* session = nullptr;
  nghttp2_session_server_new(&session, callbacks, nullptr);
  nghttp2_session_callbacks_del(callbacks);
  const std::array<nghttp2_settings_entry, 2> settings = {
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1024}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}}};
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, 16 << 20);
  return session;
}

struct Connection {
  explicit Connection(int f) : fd(f), session(make_session()) {}
  ~Connection() { nghttp2_session_del(session); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  int fd;
  nghttp2_session* session;
  std::string out;
};

// False: the connection is over.
bool flush(Connection& c) {
  for (;;) {
    const uint8_t* data = nullptr;
    for (ssize_t n; c.out.size() < 256u << 10 && (n = nghttp2_session_mem_send(c.session, &data)) > 0;)
      c.out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
    if (c.out.empty()) return nghttp2_session_want_read(c.session) != 0;
    const ssize_t n = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    c.out.erase(0, static_cast<size_t>(n));
  }
}

bool serve(Connection& c) {
  static std::array<uint8_t, 256u << 10> buffer;
  for (;;) {
    const ssize_t n = recv(c.fd, buffer.data(), buffer.size(), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
    if (n < 0) break;
    if (nghttp2_session_mem_recv(c.session, buffer.data(), static_cast<size_t>(n)) < 0) return false;
    if (static_cast<size_t>(n) < buffer.size()) break;
  }
  return flush(c);
}

}  // namespace

int main(int argc, char** argv) { return argc == 2 ? serve_unix<Connection>(argv[1], serve) : 2; }
