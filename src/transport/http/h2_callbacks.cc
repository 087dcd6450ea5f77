// What nghttp2 reports, turned into steps of H2Connection and H2Stream, and the checks that it leaves to its user:
// floods, skipped stream ids, invalid fields. Runs inside nghttp2: only submits, never pulls.
#include "transport/http/h2_callbacks.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "transport/http/h2_connection.h"
#include "transport/http/h2_memory.h"

namespace colony::http {

struct H2Callbacks {
  using Connection = H2Connection;

  static Connection& self(void* user) { return *static_cast<Connection*>(user); }
  static H2Stream* stream_of(nghttp2_session* session, int32_t id) {
    return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }
  static std::string_view view(const uint8_t* p, size_t n) { return {reinterpret_cast<const char*>(p), n}; }

  // Ends the connection and stops nghttp2 in the middle of its input.
  static int stop(Connection& c, uint32_t code) {
    c.terminate(code);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* hd, void* user) {
    auto& c = self(user);
    if (c.ending_) return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (hd->type != NGHTTP2_CONTINUATION && c.greeted_) c.head_timer_.cancel();
    const TimePoint now = c.context_.loop.now();
    switch (hd->type) {
      case NGHTTP2_DATA: return 0;
      case NGHTTP2_RST_STREAM: c.guard_.ids.ended(static_cast<uint32_t>(hd->stream_id)); return 0;
      case NGHTTP2_WINDOW_UPDATE: return c.guard_.windows.take(now) ? 0 : stop(c, NGHTTP2_ENHANCE_YOUR_CALM);
      case NGHTTP2_HEADERS:
        c.guard_.continuations = 0;
        switch (c.guard_.ids.headers_on(static_cast<uint32_t>(hd->stream_id))) {
          case H2Ids::Kind::kNew:
          case H2Ids::Kind::kUsed: return 0;
          case H2Ids::Kind::kSkipped: ++c.context_.stats.bad_requests; return stop(c, NGHTTP2_PROTOCOL_ERROR);
          case H2Ids::Kind::kEnded: ++c.context_.stats.bad_requests; return stop(c, NGHTTP2_STREAM_CLOSED);
        }
        return 0;
      case NGHTTP2_CONTINUATION:
        return ++c.guard_.continuations <= H2Guard::kMaxContinuations ? 0 : stop(c, NGHTTP2_ENHANCE_YOUR_CALM);
      default: return c.guard_.control.take(now) ? 0 : stop(c, NGHTTP2_ENHANCE_YOUR_CALM);
    }
  }

  static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& c = self(user);
    c.head_timer_.arm_after(c.context_.options.head_timeout);
    c.guard_.block_bytes = 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    H2Stream* s = c.open_stream(frame->hd.stream_id);
    s->end_stream_ = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, s);
    return 0;
  }

  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t, void* user) {
    if (explodes(self(user), name_size, value_size)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    H2Stream* s = stream_of(session, frame->hd.stream_id);
    if (s == nullptr || s->refused_) return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      s->head_.add(view(name, name_size), view(value, value_size));
    } else if (s->trailers_.size() + name_size + value_size > H2HeadBuilder::kMaxListBytes) {
      refuse(session, *s);
    } else {
      append_trailer(s->trailers_, view(name, name_size), view(value, value_size));
    }
    return 0;
  }

  // nghttp2 would drop the field and go on; a request that somebody else may read differently is refused instead.
  static int on_invalid_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t*, size_t name_size,
                               const uint8_t*, size_t value_size, uint8_t, void* user) {
    if (explodes(self(user), name_size, value_size)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    H2Stream* s = stream_of(session, frame->hd.stream_id);
    if (s != nullptr && !s->refused_) refuse(session, *s);
    return 0;
  }

  static void refuse(nghttp2_session* session, H2Stream& s) {
    s.refused_ = true;
    ++s.connection_.context_.stats.bad_requests;
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s.id_, NGHTTP2_PROTOCOL_ERROR);
  }

  // True: this field made the block too large, and the connection ends.
  static bool explodes(Connection& c, size_t name_size, size_t value_size) {
    c.guard_.block_bytes += name_size + value_size + 32;
    if (c.guard_.block_bytes <= H2Guard::kMaxBlock) return false;
    ++c.context_.stats.bad_requests;
    c.terminate(NGHTTP2_ENHANCE_YOUR_CALM);
    return true;
  }

  static int on_frame_recv(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    auto& c = self(user);
    switch (frame->hd.type) {
      case NGHTTP2_SETTINGS:
        if (!c.greeted_) c.head_timer_.cancel();
        c.greeted_ = true;
        return 0;
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && c.notice_sent_) c.final_goaway();
        return 0;
      case NGHTTP2_HEADERS: {
        c.head_timer_.cancel();
        H2Stream* s = stream_of(session, frame->hd.stream_id);
        if (s == nullptr) return 0;
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
          c.start_request(*s);
        } else if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
          end_of_request(*s);
        }
        return 0;
      }
      case NGHTTP2_DATA: {
        const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        if (!end && frame->hd.length <= frame->data.padlen && !c.guard_.empty_data.take(c.context_.loop.now())) {
          return stop(c, NGHTTP2_ENHANCE_YOUR_CALM);
        }
        H2Stream* s = stream_of(session, frame->hd.stream_id);
        if (end && s != nullptr) end_of_request(*s);
        return 0;
      }
      default: return 0;
    }
  }

  static void end_of_request(H2Stream& s) {
    if (s.request_ended_) return;
    s.request_ended_ = true;
    if (s.handler_ != nullptr) s.handler_->on_end(s.trailers_);
  }

  static int on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size, void*) {
    H2Stream* s = stream_of(session, id);
    if (s == nullptr || s->handler_ == nullptr) {
      nghttp2_session_consume(session, id, size);
      return 0;
    }
    s->unconsumed_ += size;
    s->handler_->on_body(view(data, size));
    return 0;
  }

  static int on_invalid_frame(nghttp2_session*, const nghttp2_frame*, int, void* user) {
    auto& c = self(user);
    c.head_timer_.cancel();
    ++c.context_.stats.bad_requests;
    return 0;
  }

  static int on_stream_close(nghttp2_session* session, int32_t id, uint32_t, void* user) {
    if (H2Stream* s = stream_of(session, id)) {
      self(user).head_timer_.cancel();
      if (s->request_ended_) self(user).guard_.ids.ended(static_cast<uint32_t>(id));
      self(user).close_stream(*s);
    }
    return 0;
  }

  static int on_frame_send(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    switch (frame->hd.type) {
      case NGHTTP2_RST_STREAM:
        if (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM) self(user).charge_reset();
        return 0;
      case NGHTTP2_DATA:
      case NGHTTP2_HEADERS: {
        H2Guard& guard = self(user).guard_;
        guard.control.earn(1);
        if (frame->hd.type == NGHTTP2_DATA) guard.windows.earn(H2Guard::kWindowsPerData);
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
        H2Stream* s = stream_of(session, frame->hd.stream_id);
        if (s == nullptr) return 0;
        s->reply_sent_ = true;
        guard.resets.earn(1);
        // RFC 9113, 8.1: the whole reply has gone, the rest of the request is of no use.
        if (!s->request_ended_) {
          nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
        }
        return 0;
      }
      default: return 0;
    }
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size,
                       nghttp2_data_source* source, void* user) {
    auto& c = self(user);
    if (c.out_.size() + c.stream_->pending() >= Connection::kOutbox) {
      c.pull_stopped_ = true;
      return NGHTTP2_ERR_WOULDBLOCK;
    }
    c.out_.append(reinterpret_cast<const char*>(header), 9);
    static_cast<H2Stream*>(source->ptr)->take(c.out_, size);
    return 0;
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* cb = nullptr;
    CHECK(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
    return cb;
  }
};

namespace {

// Null under a sanitizer, which then sees every block for itself.
nghttp2_mem* memory() {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return nullptr;
#endif
#endif
  static nghttp2_mem lists{
      nullptr,
      [](size_t size, void*) { return H2Blocks::of_this_thread().take(size); },
      [](void* block, void*) { H2Blocks::of_this_thread().give(block); },
      [](size_t count, size_t size, void*) {
        void* block = H2Blocks::of_this_thread().take(count * size);
        return block == nullptr ? nullptr : std::memset(block, 0, count * size);
      },
      [](void* block, size_t size, void*) { return H2Blocks::of_this_thread().resize(block, size); },
  };
  return &lists;
}

}  // namespace

nghttp2_session* new_h2_session(H2Connection& connection, const ServerOptions& options) {
  static nghttp2_session_callbacks* const callbacks = H2Callbacks::make();
  static nghttp2_option* const settings = [] {
    nghttp2_option* o = nullptr;
    CHECK(nghttp2_option_new(&o) == 0);
    nghttp2_option_set_no_auto_window_update(o, 1);
    // WHY closed streams are kept (up to max_streams of them, some 300 bytes each): only so does nghttp2 tell a frame
    // that was on its way to a stream that we reset from one that nobody may send any more.
    nghttp2_option_set_max_outbound_ack(o, 1000);
    nghttp2_option_set_stream_reset_rate_limit(o, 10'000, 1'000);  // H2Guard's own budget is below
    return o;
  }();
  nghttp2_session* session = nullptr;
  CHECK(nghttp2_session_server_new3(&session, callbacks, &connection, settings, memory()) == 0);

  constexpr size_t kMaxWindow = (size_t{1} << 31) - 1;
  const auto window = static_cast<uint32_t>(std::clamp<size_t>(options.body_window, 1, kMaxWindow));
  const auto streams = static_cast<uint32_t>(std::clamp<size_t>(options.max_streams, 1, 1 << 20));
  const nghttp2_settings_entry entries[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2HeadBuilder::kMaxListBytes},
  };
  CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries, std::size(entries)) == 0);
  // Room for every stream's whole window: streams that nobody reads cannot take the others' share.
  const auto whole = static_cast<int32_t>(std::min<uint64_t>(uint64_t{window} * (uint64_t{streams} + 1), kMaxWindow));
  CHECK(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, whole) == 0);
  return session;
}

}  // namespace colony::http
