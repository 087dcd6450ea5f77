// Runtime port: what runs the work inside a replica. A runtime holds loaded models and answers inferences; it knows nothing
// of HTTP, gRPC or frames (that is runtime/oip and replica/). Adapters: runtime/echo, runtime/onnx. Calls marked "pool"
// come from a BlockingPool thread and may come from several at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "domain/app_spec.h"

namespace colony::runtime {

// OIP datatypes (https://github.com/kserve/open-inference-protocol), BF16 as Triton has it.
enum class DataType : uint8_t {
  kBool,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFp16,
  kBf16,
  kFp32,
  kFp64,
  kBytes
};
std::string_view to_string(DataType t);  // "FP32"
std::optional<DataType> parse_data_type(std::string_view s);
size_t element_size(DataType t);  // bytes; 0 for kBytes

// Row-major. kBytes: each element is a 4-byte little-endian length and its bytes. `data` may point into memory that
// `owner` keeps alive, or that the caller keeps alive during the call.
struct Tensor {
  std::string name;
  DataType type = DataType::kFp32;
  std::vector<int64_t> shape;
  std::string_view data;
  std::shared_ptr<void> owner;
};
Tensor own_tensor(std::string name, DataType type, std::vector<int64_t> shape, std::string bytes);
// Product of the shape; an Error for negative dimensions or more than 2^40.
Result<uint64_t> element_count(const std::vector<int64_t>& shape);
// For errors, which must not carry what a request has of any length: "[-1,2048]", of at most 16 dimensions; a text cut at a
// character's end.
std::string shape_text(const std::vector<int64_t>& shape);
std::string brief(std::string_view text, size_t most = 100);
// Does the data fit shape and type? Walks the lengths of kBytes elements. The error names the tensor.
Result<void> check_data(const Tensor& tensor);
// The elements of a kBytes tensor, as views. The data must have passed check_data.
std::vector<std::string_view> bytes_elements(std::string_view data);
void append_bytes_element(std::string& data, std::string_view element);

struct TensorInfo {
  std::string name;
  DataType type;
  std::vector<int64_t> shape;  // -1: any
};

struct ModelInfo {
  std::string name, version = "1", platform;  // platform: "onnxruntime_onnx", "colony_echo"
  std::vector<TensorInfo> inputs, outputs;
  uint64_t bytes = 0;       // resident size, measured around the load; 0: not known
  bool any_tensor = false;  // echo: takes whatever comes
};

// Set from the loop when the client has gone or the deadline has passed; a runtime polls it, or leaves a hook that stops
// the work it is about to do. Any thread.
class CancelFlag {
 public:
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  void cancel();  // runs the hook, once
  // `hook` runs in the thread that cancels, or in this call when that has happened already. At most one at a time.
  void set_hook(std::function<void()> hook);
  void clear_hook();  // afterwards the hook neither runs nor will

 private:
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::function<void()> hook_;
};

struct InferRequest {
  std::string model, version, id;
  std::vector<Tensor> inputs;
  std::vector<std::string> outputs;  // wanted, each once (check_outputs); empty: all
  Deadline deadline = Deadline::never();
  std::shared_ptr<CancelFlag> cancel;
  std::shared_ptr<void> storage;  // keeps alive what `inputs` point into
};

// An output that is asked for many times would make a reply of any size out of a small request.
Result<void> check_outputs(const std::vector<std::string>& wanted);

struct InferReply {
  std::string model, version;
  std::vector<Tensor> outputs;
};

// A loaded model. Immutable; destroyed (memory returned to the system) when the last running inference lets go of it.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  // pool (or the loop, when cheap() is true). Errors name the tensor, what came and what is expected. What it gives back it
  // may take out of the request.
  virtual Result<InferReply> infer(InferRequest&& request) = 0;
  // Takes microseconds and never blocks: may be called on the loop.
  virtual bool cheap() const { return false; }
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  // pool. Loads beside whatever is loaded already; `name` is the OIP name it will answer to. user_config: JSON or "".
  virtual Result<std::shared_ptr<Model>> load(const ModelSpec& spec, const std::string& name,
                                              const std::string& user_config) = 0;
};

// "echo" or "onnx"; kInvalidArgument for others, naming those that exist.
Result<std::unique_ptr<Runtime>> make_runtime(const std::string& name);

// Turns raw HTTP bodies into tensors and replies back into bytes: `transform: NAME` of a deployment. Pure functions.
class Transform {
 public:
  virtual ~Transform() = default;
  // No tensor: the answer needs no inference; to_reply is then called with a reply that has no outputs.
  virtual Result<std::vector<Tensor>> to_tensors(std::string_view body, std::string_view content_type) const = 0;
  struct Body {
    std::string content_type, data;
  };
  virtual Result<Body> to_reply(const InferReply& reply, std::string_view request_body) const = 0;
};
// Built with the deployment's model folder (labels lie beside the model); kInvalidArgument for unknown names, naming those that exist.
Result<std::unique_ptr<Transform>> make_transform(const std::string& name, const std::string& model_path);
std::vector<std::string> transform_names();

}  // namespace colony::runtime
