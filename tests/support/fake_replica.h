// A replica as its master sees it, in simulated time: answers proto/colony/replica/v1 on its address, loads for a while,
// fails when told, counts what it was asked. Hosted by FakeEngine in place of a process. It serves no requests.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/fake_engine.h"

namespace colony::testing {

// What all replicas of a test share: knobs, and a log of what happened.
struct FakeReplicaWorld {
  Duration load_time = 50ms;
  std::string load_error;           // not empty: loads fail with it
  std::string refuse_reconfigure;   // not empty: reconfigure fails with it
  bool hangs = false;               // who is reconfigured asks for a new process
  bool deaf = false;                // status calls are never answered
  std::vector<std::string> events;  // "start ID r1", "reconfigure ID r2", "drain ID", "exit ID"

  // What dead replicas left behind: their handlers end with their next resumption. Await it before the loop goes.
  async::Task<void> close();
  std::vector<std::function<async::Task<void>()>> graves;
};

// For FakeEngine's factory.
std::unique_ptr<FakeActor> make_fake_replica(async::SimLoop& loop, FakeReplicaWorld& world,
                                             const engine::ActorSpec& spec, std::string address);

}  // namespace colony::testing
