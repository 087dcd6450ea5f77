// The peer of Colony's echo runtime in ./dev bench oip: a Triton backend that gives every input back as the output of the
// same name. Triton loads it as libtriton_noop.so. The few C functions that it calls are declared here, as Triton 2.51 has
// them, because the wheel that carries the server carries no headers.
#include <chrono>
#include <cstdint>
#include <cstring>

extern "C" {
struct TRITONSERVER_Error;
struct TRITONBACKEND_ModelInstance;
struct TRITONBACKEND_Request;
struct TRITONBACKEND_Response;
struct TRITONBACKEND_Input;
struct TRITONBACKEND_Output;
using Error = TRITONSERVER_Error*;
Error TRITONBACKEND_RequestInputCount(TRITONBACKEND_Request*, uint32_t* count);
Error TRITONBACKEND_RequestInputByIndex(TRITONBACKEND_Request*, uint32_t index, TRITONBACKEND_Input**);
Error TRITONBACKEND_RequestRelease(TRITONBACKEND_Request*, uint32_t flags);
Error TRITONBACKEND_InputProperties(TRITONBACKEND_Input*, const char** name, int* datatype, const int64_t** shape,
                                    uint32_t* dimensions, uint64_t* bytes, uint32_t* buffers);
Error TRITONBACKEND_InputBuffer(TRITONBACKEND_Input*, uint32_t index, const void**, uint64_t* bytes, int* memory_type,
                                int64_t* memory_id);
Error TRITONBACKEND_ResponseNew(TRITONBACKEND_Response**, TRITONBACKEND_Request*);
Error TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response*, TRITONBACKEND_Output**, const char* name, int datatype,
                                   const int64_t* shape, uint32_t dimensions);
Error TRITONBACKEND_ResponseSend(TRITONBACKEND_Response*, uint32_t flags, Error);
Error TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output*, void**, uint64_t bytes, int* memory_type, int64_t* memory_id);
Error TRITONBACKEND_ModelInstanceReportStatistics(TRITONBACKEND_ModelInstance*, TRITONBACKEND_Request*, bool success,
                                                  uint64_t exec_start, uint64_t compute_start, uint64_t compute_end,
                                                  uint64_t exec_end);
Error TRITONBACKEND_ModelInstanceReportBatchStatistics(TRITONBACKEND_ModelInstance*, uint64_t batch,
                                                       uint64_t exec_start, uint64_t compute_start,
                                                       uint64_t compute_end, uint64_t exec_end);
}

namespace {

constexpr uint32_t kFinal = 1, kReleaseAll = 1;

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

Error give_back(TRITONBACKEND_Input* input, TRITONBACKEND_Response* response) {
  const char* name = nullptr;
  const int64_t* shape = nullptr;
  int datatype = 0, memory_type = 0;
  uint32_t dimensions = 0, buffers = 0;
  uint64_t bytes = 0;
  int64_t memory_id = 0;
  TRITONBACKEND_Output* output = nullptr;
  void* to = nullptr;
  if (auto e = TRITONBACKEND_InputProperties(input, &name, &datatype, &shape, &dimensions, &bytes, &buffers)) return e;
  if (auto e = TRITONBACKEND_ResponseOutput(response, &output, name, datatype, shape, dimensions)) return e;
  if (auto e = TRITONBACKEND_OutputBuffer(output, &to, bytes, &memory_type, &memory_id)) return e;
  for (uint32_t i = 0; i < buffers; ++i) {
    const void* from = nullptr;
    uint64_t size = 0;
    if (auto e = TRITONBACKEND_InputBuffer(input, i, &from, &size, &memory_type, &memory_id)) return e;
    std::memcpy(to, from, size);
    to = static_cast<char*>(to) + size;
  }
  return nullptr;
}

Error answer(TRITONBACKEND_Request* request, TRITONBACKEND_Response* response) {
  uint32_t count = 0;
  if (auto e = TRITONBACKEND_RequestInputCount(request, &count)) return e;
  for (uint32_t i = 0; i < count; ++i) {
    TRITONBACKEND_Input* input = nullptr;
    if (auto e = TRITONBACKEND_RequestInputByIndex(request, i, &input)) return e;
    if (auto e = give_back(input, response)) return e;
  }
  return nullptr;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) Error TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request** requests, const uint32_t count) {
  const uint64_t begin = now_ns();
  for (uint32_t i = 0; i < count; ++i) {
    TRITONBACKEND_Response* response = nullptr;
    Error error = TRITONBACKEND_ResponseNew(&response, requests[i]);
    if (!error) error = answer(requests[i], response);
    const uint64_t end = now_ns();
    TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], error == nullptr, begin, begin, end, end);
    if (response) TRITONBACKEND_ResponseSend(response, kFinal, error);
    TRITONBACKEND_RequestRelease(requests[i], kReleaseAll);
  }
  const uint64_t end = now_ns();
  TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, begin, begin, end, end);
  return nullptr;
}
