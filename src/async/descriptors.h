// Open descriptors that go from one process to another of the same user, over a unix socket (SCM_RIGHTS): whoever listens
// lends copies of its listening sockets, so that they outlive it. Both ends name the same things afterwards.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/loop.h"

namespace colony::async {

// Owns one descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& o) noexcept {
    if (this != &o) {
      reset();
      fd_ = std::exchange(o.fd_, -1);
    }
    return *this;
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void reset();
  Result<Descriptor> copy() const;

 private:
  int fd_ = -1;
};

// A bound, listening, non-blocking socket, for those who share it with others; who listens alone uses Loop::listen(), which
// also takes "fd:N": such a socket of this process's own, to keep.
Result<Descriptor> open_listening_socket(const Endpoint& at, const ListenOptions& options);
Endpoint endpoint_of(const Descriptor& listening);

// LIMIT: of one lender; the kernel passes at most 253 at once.
inline constexpr size_t kMaxLent = 128;

// Gives copies to whoever connects to the socket file `path`: a process of the same user, the file's folder is private.
// Lives on its loop; the file goes with it.
class DescriptorLender {
 public:
  static Result<std::unique_ptr<DescriptorLender>> open(Loop& loop, std::string path, std::vector<Descriptor> lent);
  ~DescriptorLender();
  DescriptorLender(const DescriptorLender&) = delete;
  DescriptorLender& operator=(const DescriptorLender&) = delete;

 private:
  DescriptorLender(Loop& loop, std::string path, std::vector<Descriptor> lent);
  Result<void> watch();
  void serve();
  void rest(int why);

  Loop& loop_;
  std::string path_;
  std::vector<Descriptor> lent_;
  Descriptor socket_;
  uint64_t inode_ = 0;  // of the file that is ours
  std::unique_ptr<FdWatch> watch_;
  Timer rested_;
};

// Copies of what is lent at `path`. Waits for a lender until the deadline; kUnavailable when none came.
Task<Result<std::vector<Descriptor>>> borrow_descriptors(Loop& loop, std::string path, Deadline deadline);

}  // namespace colony::async
