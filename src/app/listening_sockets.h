// The sockets on which a proxy's process takes requests, one per loop. They are older and younger than the process: its agent
// keeps copies and gives them to the next incarnation, and a proxy that is to replace another one takes copies from it; the
// connections that come in between wait in them instead of being refused.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/descriptors.h"
#include "async/epoll_loop.h"

namespace colony::app {

class ListeningSockets {
 public:
  struct Wanted {
    std::string address;      // "127.0.0.1:8000"; port 0: any
    size_t count = 1;         // how many are made when none are found
    std::string predecessor;  // where another process lends its own; empty: there is none
  };
  // What the agent gave to this process, else the predecessor's, else new ones.
  static async::Task<Result<ListeningSockets>> open(async::Loop& loop, Wanted wanted);

  size_t size() const { return sockets_.size(); }
  // They are not new: another process has listened on them before.
  bool inherited() const { return inherited_; }
  // One copy per loop, as addresses for Loop::listen(), which keeps them.
  Result<std::vector<async::Endpoint>> endpoints() const;
  // Gives copies to agent and successor from now on, and keeps none.
  Result<std::unique_ptr<async::DescriptorLender>> lend(async::Loop& loop, const std::string& path) &&;

 private:
  ListeningSockets(std::vector<async::Descriptor> sockets, bool inherited)
      : sockets_(std::move(sockets)), inherited_(inherited) {}
  std::vector<async::Descriptor> sockets_;
  bool inherited_;
};

}  // namespace colony::app
