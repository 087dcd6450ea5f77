// See descriptors.h. One message per borrower: the number of descriptors in one byte, and the descriptors.
#include "async/descriptors.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "async/socket_address.h"
#include "base/check.h"
#include "base/log.h"

namespace colony::async {
namespace {

constexpr Duration kLookAgain = 5ms;
constexpr int kBacklog = 16;
constexpr Duration kRest = 100ms;

Result<SocketAddress> address_of(const std::string& path) { return parse_address({"unix:" + path}); }

Descriptor unix_socket() { return Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

bool same_user(int socket) {
  ucred who{};
  socklen_t size = sizeof who;
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.uid == ::geteuid();
}

struct Message {
  char count = 0;
  iovec part{&count, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxLent * sizeof(int))] = {};
  msghdr header{};
  Message() {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
  }
};

void send(int socket, const std::vector<Descriptor>& lent) {
  Message m;
  m.count = static_cast<char>(lent.size());
  m.header.msg_controllen = CMSG_SPACE(lent.size() * sizeof(int));
  cmsghdr* c = CMSG_FIRSTHDR(&m.header);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(lent.size() * sizeof(int));
  for (size_t i = 0; i < lent.size(); ++i) {
    const int fd = lent[i].get();
    std::memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof fd);
  }
  // A borrower that does not read gets nothing: it asks again.
  [[maybe_unused]] const ssize_t n = ::sendmsg(socket, &m.header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// nullopt: nothing has come yet.
Result<std::optional<std::vector<Descriptor>>> receive(int socket) {
  Message m;
  const ssize_t n = ::recvmsg(socket, &m.header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  std::vector<Descriptor> out;
  for (cmsghdr* c = n > 0 ? CMSG_FIRSTHDR(&m.header) : nullptr; c; c = CMSG_NXTHDR(&m.header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      out.emplace_back(fd);
    }
  }
  if (out.empty() || out.size() != static_cast<uint8_t>(m.count))
    return fail(unavailable("the lender of descriptors is gone", "connection"));
  return out;
}

}  // namespace

void Descriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<Descriptor> Descriptor::copy() const {
  const int fd = ::fcntl(fd_, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return fail(errno_error("copy a descriptor", errno));
  return Descriptor(fd);
}

DescriptorLender::DescriptorLender(Loop& loop, std::string path, std::vector<Descriptor> lent)
    : loop_(loop), path_(std::move(path)), lent_(std::move(lent)), rested_(loop, [this] {
        if (!watch()) rested_.arm_after(kRest);
      }) {}

Result<std::unique_ptr<DescriptorLender>> DescriptorLender::open(Loop& loop, std::string path,
                                                                 std::vector<Descriptor> lent) {
  CHECK(!lent.empty() && lent.size() <= kMaxLent);
  std::unique_ptr<DescriptorLender> out(new DescriptorLender(loop, std::move(path), std::move(lent)));
  TRY(auto address, address_of(out->path_));
  out->socket_ = unix_socket();
  const int fd = out->socket_.get();
  ::unlink(out->path_.c_str());  // of a process that is gone
  ::fchmod(fd, 0600);
  struct stat file{};
  if (fd < 0 || ::bind(fd, address.get(), address.size) != 0 || ::listen(fd, kBacklog) != 0 ||
      ::lstat(out->path_.c_str(), &file) != 0)
    return fail(errno_error("listen on unix:" + out->path_, errno));
  out->inode_ = file.st_ino;
  TRY_VOID(out->watch());
  return out;
}

DescriptorLender::~DescriptorLender() {
  watch_.reset();
  struct stat file{};
  if (inode_ != 0 && ::lstat(path_.c_str(), &file) == 0 && file.st_ino == inode_) ::unlink(path_.c_str());
}

Result<void> DescriptorLender::watch() {
  TRY(watch_, loop_.watch_fd(socket_.get(), [this] { serve(); }));
  return {};
}

void DescriptorLender::serve() {
  for (int i = 0; i < kBacklog; ++i) {
    const Descriptor borrower(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (borrower.get() < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) rest(errno);
      return;
    }
    if (same_user(borrower.get())) send(borrower.get(), lent_);
  }
}

// No descriptor or no memory is left: whoever asks waits in the backlog, and a watch would turn the loop for him without
// rest.
void DescriptorLender::rest(int why) {
  LOG(warn, "lending at {} rests for 100 ms: {}", path_, errno_error("accept", why).message);
  watch_.reset();
  rested_.arm_after(kRest);
}

Task<Result<std::vector<Descriptor>>> borrow_descriptors(Loop& loop, std::string path, Deadline deadline) {
  CO_TRY(auto address, address_of(path));
  Error last = unavailable("nobody lends descriptors at " + path, "connection");
  while (!deadline.passed(loop.now())) {
    const Descriptor socket = unix_socket();
    if (socket.get() < 0) co_return fail(errno_error("socket", errno));
    if (::connect(socket.get(), address.get(), address.size) == 0 && same_user(socket.get())) {
      while (!deadline.passed(loop.now())) {
        auto got = receive(socket.get());
        if (!got) {
          last = std::move(got).error();
          break;
        }
        if (*got) co_return std::move(**got);
        co_await loop.sleep(kLookAgain);
      }
    }
    co_await loop.sleep(kLookAgain);
  }
  co_return fail(std::move(last));
}

}  // namespace colony::async
