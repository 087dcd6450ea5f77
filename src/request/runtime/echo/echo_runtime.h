// The identity model: every output is the input of the same name. For tests, benches and first steps; raw HTTP to an echo
// deployment is answered by the replica itself and never comes here. user_config may make requests slow on purpose,
// those with an input of a given name:
//   slow: {INPUT: {sleep_ms: 5}}    or {spin_ms: 5}
#pragma once

#include "request/runtime/contract.h"

namespace colony::runtime::echo {

// Stateless; any thread.
class EchoRuntime final : public Runtime {
 public:
  Result<std::shared_ptr<Model>> load(const ModelSpec& spec, const std::string& name,
                                      const std::string& user_config) override;
};

}  // namespace colony::runtime::echo
