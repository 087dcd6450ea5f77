// The origin behind nginx and HAProxy in bench/http.py: echoes every body over HTTP/1.1 keep-alive on a unix socket, as
// fast as one thread with epoll can. It knows just enough HTTP for that and is no part of Colony.
//   origin UNIX_PATH
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

namespace {

struct Connection {
  int fd;
  std::string in, out;
};

// Bytes of the first whole request in `s`, 0 when there is none; `body` is its body.
size_t whole_request(std::string_view s, std::string_view& body) {
  const size_t end = s.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  size_t length = 0;
  for (size_t at = 0; (at = s.find("\r\n", at)) < end;) {
    at += 2;
    constexpr std::string_view kName = "content-length:";
    if (s.size() - at > kName.size() && strncasecmp(s.data() + at, kName.data(), kName.size()) == 0) {
      at += kName.size();
      while (s[at] == ' ') ++at;
      std::from_chars(s.data() + at, s.data() + end, length);
      break;
    }
  }
  if (s.size() < end + 4 + length) return 0;
  body = s.substr(end + 4, length);
  return end + 4 + length;
}

void answer(Connection& c) {
  std::string_view rest = c.in, body;
  while (const size_t n = whole_request(rest, body)) {
    char head[128];
    const int size = std::snprintf(head, sizeof head,
                                   "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
                                   "content-length: %zu\r\n\r\n",
                                   body.size());
    c.out.append(head, static_cast<size_t>(size));
    c.out += body;
    rest.remove_prefix(n);
  }
  c.in.erase(0, c.in.size() - rest.size());
}

// False: the connection is over.
bool flush(Connection& c) {
  while (!c.out.empty()) {
    const ssize_t n = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    c.out.erase(0, static_cast<size_t>(n));
  }
  return true;
}

bool serve(Connection& c) {
  char buffer[65536];
  for (;;) {
    const ssize_t n = recv(c.fd, buffer, sizeof buffer, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
    if (n < 0) break;
    c.in.append(buffer, static_cast<size_t>(n));
    if (static_cast<size_t>(n) < sizeof buffer) break;
  }
  answer(c);
  return flush(c);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  unlink(argv[1]);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 || listen(listener, 1024) < 0) {
    std::perror(argv[1]);
    return 1;
  }
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event add{};
  add.events = EPOLLIN;
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &add);
  epoll_event events[256];
  for (;;) {
    const int n = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < n; ++i) {
      auto* c = static_cast<Connection*>(events[i].data.ptr);
      if (c == nullptr) {
        for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
          epoll_event e{};
          e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
          e.data.ptr = new Connection{fd, {}, {}};
          epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
        }
      } else if (!serve(*c)) {
        close(c->fd);
        delete c;
      }
    }
  }
}
