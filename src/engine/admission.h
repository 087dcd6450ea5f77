// What every engine adapter checks before it acts: the shape and the bounds of an ActorSpec, and the fence. Pure; where
// the epochs are kept on disk is engine/agent/run_dir.h.
#pragma once

#include <map>
#include <string>

#include "engine/contract.h"

namespace colony::engine {

inline constexpr size_t kMaxActors = 1000;                 // LIMIT: per agent
inline constexpr size_t kMaxPayloadBytes = 1024 * 1024;    // LIMIT: of ActorSpec::payload
inline constexpr size_t kMaxEnvironmentBytes = 64 * 1024;  // LIMIT: of ActorSpec::env, and of its labels
inline constexpr size_t kMaxIdBytes = 120;

// [a-z0-9._-], at most 120 bytes, not starting with a dot (ids are folder names). `what` names the field.
Result<void> check_id(std::string_view id, std::string_view what = "id");
Result<void> check_spec(const ActorSpec& spec);

// The highest epoch seen per owner. admit() takes the same or a higher one and refuses a lower one with reason
// "stale_epoch". `changed`: the table grew and has to be kept.
class Fences {
 public:
  struct Admitted {
    bool changed = false;
  };
  Result<Admitted> admit(const Fence& fence);
  const std::map<std::string, uint64_t>& highest() const { return highest_; }
  void restore(std::string owner, uint64_t epoch);

 private:
  std::map<std::string, uint64_t> highest_;
};

}  // namespace colony::engine
