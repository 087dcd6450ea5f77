// The origin behind nginx and HAProxy in ./dev bench: echoes every body over HTTP/1.1 keep-alive on a unix socket, as fast
// as one thread with epoll can. It knows just enough HTTP for that and is no part of Colony.
//   h1_origin UNIX_PATH
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "bench/origins/serve_unix.h"

namespace {

constexpr size_t kPending = 256u << 10;  // of a reply that the peer does not take: reading stops

struct Connection {
  explicit Connection(int f) : fd(f) {}
  int fd;
  std::string head;      // of a request that has not come whole
  size_t body_left = 0;  // of the request whose body is being echoed
  std::string out;
  size_t out_at = 0;
};

size_t content_length(std::string_view head) {
  size_t length = 0;
  for (size_t at = 0; (at = head.find("\r\n", at)) != head.npos;) {
    at += 2;
    constexpr std::string_view kName = "content-length:";
    if (head.size() - at > kName.size() && strncasecmp(head.data() + at, kName.data(), kName.size()) == 0) {
      at += kName.size();
      while (head[at] == ' ') ++at;
      std::from_chars(head.data() + at, head.data() + head.size(), length);
      break;
    }
  }
  return length;
}

// Echoes bodies as they come: neither side of a large one is ever held whole.
void answer(Connection& c, std::string_view in) {
  while (!in.empty()) {
    if (c.body_left > 0) {
      const size_t n = in.size() < c.body_left ? in.size() : c.body_left;
      c.out.append(in.substr(0, n));
      c.body_left -= n;
      in.remove_prefix(n);
      continue;
    }
    const size_t before = c.head.size();
    const size_t look = before < 3 ? 0 : before - 3;
    c.head += in;
    const size_t end = c.head.find("\r\n\r\n", look);
    if (end == c.head.npos) return;
    in.remove_prefix(end + 4 - before);
    c.head.resize(end + 4);
    c.body_left = content_length(c.head);
    c.head.clear();
    char head[128];
    const int size = std::snprintf(head, sizeof head,
                                   "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
                                   "content-length: %zu\r\n\r\n",
                                   c.body_left);
    c.out.append(head, static_cast<size_t>(size));
  }
}

// False: the connection is over.
bool flush(Connection& c) {
  while (c.out_at < c.out.size()) {
    const ssize_t n = send(c.fd, c.out.data() + c.out_at, c.out.size() - c.out_at, MSG_NOSIGNAL);
    if (n < 0) {
      if (c.out_at > kPending) c.out.erase(0, std::exchange(c.out_at, 0));
      return errno == EAGAIN;
    }
    c.out_at += static_cast<size_t>(n);
  }
  c.out.clear();
  c.out_at = 0;
  return true;
}

bool serve(Connection& c) {
  static char buffer[65536];
  if (!flush(c)) return false;
  while (c.out.size() - c.out_at < kPending) {
    const ssize_t n = recv(c.fd, buffer, sizeof buffer, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
    if (n < 0) break;
    answer(c, {buffer, static_cast<size_t>(n)});
    if (!flush(c)) return false;
    if (static_cast<size_t>(n) < sizeof buffer) break;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) { return argc == 2 ? serve_unix<Connection>(argv[1], serve) : 2; }
