// See epoll_ring.h. The accepting side takes memory and bells from a process that it does not trust to be well: memory that
// could shrink would be a SIGBUS later, a bell that could block would stop the loop. LIMIT: the ends share the bells, so a peer
// that means harm can make one block later on; both ends run as one user, who can stop either process anyway.
#include "async/epoll_ring.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "async/kernel_calls.h"

namespace colony::async {
namespace {

constexpr size_t kStates = 4096;  // the two states share the first page
constexpr size_t kMemory = kStates + 2 * kRingBytes;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr uint8_t kQuietWaits = 16;  // after so many waits without traffic a ring sleeps until its bell rings

void close_all(std::array<int, 3>& fds) {
  for (int& fd : fds)
    if (fd >= 0) ::close(std::exchange(fd, -1));
}

}  // namespace

EpollRing::~EpollRing() {
  close_all(passed_);
  if (bell_ >= 0) context_.poller.close(bell_);
  if (peers_bell_ >= 0) ::close(peers_bell_);
  if (memory_) ::munmap(memory_, kMemory);
}

Result<void> EpollRing::map(int memory) {
  void* at = ::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (at == MAP_FAILED) return fail(errno_error("map the memory of a ring", errno));
  memory_ = at;
  char* base = static_cast<char*>(at);
  static_assert(2 * sizeof(RingState) <= kStates);
  RingState* states[2];
  for (size_t i = 0; i < 2; ++i) {
    char* place = base + i * sizeof(RingState);
    states[i] = offerer_ ? new (place) RingState : std::launder(reinterpret_cast<RingState*>(place));
  }
  const size_t in = offerer_ ? 1 : 0, out = 1 - in;  // the first ring is the offerer's to write
  reader_ = std::make_unique<RingReader>(*states[in], base + kStates + in * kRingBytes);
  writer_ = std::make_unique<RingWriter>(*states[out], base + kStates + out * kRingBytes);
  return {};
}

Result<void> EpollRing::offer(int socket, std::string_view message) {
  offerer_ = true;
  passed_[0] = ::memfd_create("colony-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (passed_[0] < 0) return fail(errno_error("memfd_create", errno));
  if (::ftruncate(passed_[0], kMemory) != 0 || ::fcntl(passed_[0], F_ADD_SEALS, kSeals) != 0)
    return fail(errno_error("seal the memory of a ring", errno));
  TRY_VOID(map(passed_[0]));
  for (size_t i : {1, 2}) {
    passed_[i] = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (passed_[i] < 0) return fail(errno_error("eventfd", errno));
  }
  iovec part{const_cast<char*>(message.data()), message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof passed_)]{};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof passed_);
  std::memcpy(CMSG_DATA(c), passed_.data(), sizeof passed_);
  const ssize_t n = ::sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) return fail(errno_error("pass the memory of a ring", errno));
  CHECK(static_cast<size_t>(n) == message.size());  // a few bytes on a socket that had taken everything before
  peers_bell_ = std::exchange(passed_[1], -1);
  bell_ = std::exchange(passed_[2], -1);
  close_all(passed_);
  TRY_VOID(context_.poller.add(bell_, *this, EPOLLIN | EPOLLET));
  state_ = State::kOffered;
  return {};
}

void EpollRing::passed(const int* fds, size_t count) {
  const bool good = count == passed_.size() && passed_[0] < 0;
  for (size_t i = 0; i < count; ++i) {
    if (good)
      passed_[i] = fds[i];
    else
      ::close(fds[i]);
  }
}

Result<void> EpollRing::accept() {
  if (passed_[0] < 0) return fail(failed_precondition("a ring was offered without its memory and bells"));
  struct stat file{};
  const int seals = ::fcntl(passed_[0], F_GET_SEALS);
  if (::fstat(passed_[0], &file) != 0 || file.st_size != off_t{kMemory} || seals < 0 || (seals & kSeals) != kSeals)
    return fail(failed_precondition("the memory of a ring is not sealed at the size that it must have"));
  for (size_t i : {1, 2}) {
    const int flags = ::fcntl(passed_[i], F_GETFL);
    if (flags < 0 || (flags & O_NONBLOCK) == 0) return fail(failed_precondition("a ring's bell could block"));
  }
  TRY_VOID(map(passed_[0]));
  bell_ = std::exchange(passed_[1], -1);
  peers_bell_ = std::exchange(passed_[2], -1);
  close_all(passed_);
  return context_.poller.add(bell_, *this, EPOLLIN | EPOLLET);
}

void EpollRing::use() {
  state_ = State::kInUse;
  had_traffic();
}

void EpollRing::had_traffic() {
  quiet_waits_ = 0;
  if (!Hook<AwakeTag>::linked()) context_.awake_rings.push_back(*this);
}

void EpollRing::ring_bell() {
  ++bells_;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = kernel::write(peers_bell_, &one, sizeof one);
}

ssize_t EpollRing::read(char* to, size_t room) {
  const auto n = reader_->read(to, room);
  if (!n) return -1;
  if (*n > 0) {
    had_traffic();
    if (reader_->must_tell_writer()) ring_bell();
  }
  return static_cast<ssize_t>(*n);
}

ssize_t EpollRing::write(std::string_view a, std::string_view b) {
  const auto n = writer_->write(a, b);
  if (!n) return -1;
  had_traffic();
  if (*n > 0 && writer_->must_wake_reader()) ring_bell();
  return static_cast<ssize_t>(*n);
}

// Edge-triggered and only ever rung to end a wait: never read.
void EpollRing::on_events(uint32_t) {
  had_traffic();
  stream_.on_bell();
}

bool EpollRing::look() {
  if (state_ != State::kInUse || !stream_.awaits_bytes() || !reader_->has_bytes()) return false;
  stream_.on_bell();
  return true;
}

bool EpollRing::look_and_sleep() {
  if (state_ != State::kInUse || !stream_.awaits_bytes()) return false;
  if (!reader_->sleep()) {
    stream_.on_bell();
    return true;
  }
  sleeping_ = true;
  if (++quiet_waits_ > kQuietWaits) Hook<AwakeTag>::unlink();
  return false;
}

void EpollRing::stop_sleeping() {
  if (std::exchange(sleeping_, false)) reader_->awake();
}

// ---- the loop ----

template <class Fn>
bool EpollContext::any_awake_ring(Fn fn) {
  bool any = false;
  awake_rings.for_each([&](AwakeRing& r) { any |= fn(static_cast<EpollRing&>(r)); });
  return any;
}

bool EpollContext::rings_sleep() {
  return !any_awake_ring([](EpollRing& r) { return r.look_and_sleep(); });
}

bool EpollContext::rings_wake() {
  return any_awake_ring([](EpollRing& r) {
    r.stop_sleeping();
    return r.look();
  });
}

// ---- the stream ----

bool EpollStream::expect_ring() {
  if (fd_ < 0 || peer_.sin6_family != AF_UNIX || ring_) return false;
  ring_ = std::make_unique<EpollRing>(context_, *this);
  return true;
}

Result<void> EpollStream::offer_ring(std::string_view message) {
  if (!is_closed()) flush();
  if (is_closed() || pending() > 0 || peer_.sin6_family != AF_UNIX || ring_)
    return fail(unimplemented("this stream cannot offer a ring"));
  auto ring = std::make_unique<EpollRing>(context_, *this);
  TRY_VOID(ring->offer(fd_, message));
  ring_ = std::move(ring);
  return {};
}

Result<void> EpollStream::accept_ring(std::string_view answer) {
  if (!is_closed()) flush();
  if (is_closed() || pending() > 0 || !ring_ || ring_->state() != EpollRing::State::kExpected)
    return fail(failed_precondition("no ring is expected on this stream"));
  auto accepted = ring_->accept();
  if (accepted) {
    const ssize_t n = ::send(fd_, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n != static_cast<ssize_t>(answer.size())) accepted = fail(errno_error("answer the offer of a ring", errno));
  }
  if (accepted)
    ring_->use();
  else
    ring_.reset();
  return accepted;
}

bool EpollStream::on_ring() const { return ring_ && ring_->state() == EpollRing::State::kInUse; }

uint64_t EpollStream::bells() const { return ring_ ? ring_->bells() : 0; }

void EpollStream::use_ring() {
  if (ring_ && ring_->state() == EpollRing::State::kOffered) ring_->use();
}

void EpollStream::on_bell() {
  now_readable(false);
  now_writable();
}

BufferedStream::Io EpollStream::receive_by_ring(char* to, size_t room) {
  const ssize_t n = ring_->read(to, room);
  if (n < 0) return {-1, EPROTO};
  if (n > 0) return {n, 0};
  return peer_ended_ ? Io{0, 0} : Io{-1, EAGAIN};
}

BufferedStream::Io EpollStream::send_by_ring(std::string_view a, std::string_view b) {
  if (peer_gone_) return {-1, EPIPE};
  const ssize_t n = ring_->write(a, b);
  if (n < 0) return {-1, EPROTO};
  return n > 0 ? Io{n, 0} : Io{-1, EAGAIN};
}

BufferedStream::Io EpollStream::receive_with_descriptors(char* to, size_t room) {
  iovec part{to, room};
  int fds[3];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)];
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = CMSG_LEN(sizeof fds);  // WHY not CMSG_SPACE: its padding has room for a fourth descriptor
  ssize_t n;
  do n = ::recvmsg(fd_, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return {-1, errno};
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(fds, CMSG_DATA(c), count * sizeof(int));
    ring_->passed(fds, count);
  }
  return {n, 0};
}

}  // namespace colony::async
