// See reflection.h. The two versions of the protocol differ in their package only, so one template serves both.
#include "transport/grpc/reflection.h"

#include <fmt/core.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <set>

#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace colony::grpc {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

// The file and everything that it imports, each once, the file itself first.
void collect(const FileDescriptor* file, std::set<const FileDescriptor*>& seen, std::vector<std::string>& out) {
  if (!seen.insert(file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  out.push_back(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) collect(file->dependency(i), seen, out);
}

template <class Request, class Response>
class Reflection final : public StreamHandler {
 public:
  Reflection(const Dispatcher& dispatcher, StreamCall& call) : dispatcher_(dispatcher), call_(call) {}

  void on_message(std::string_view message) override {
    Request request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return call_.finish(invalid_argument("the message is not a ServerReflectionRequest"));
    }
    Response response;
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    answer(request, response);
    call_.send(response.SerializeAsString());
    if (call_.writable() <= 0) call_.pause();
  }
  void on_half_close() override { call_.finish(); }
  void on_writable() override { call_.resume(); }

 private:
  void answer(const Request& request, Response& response) {
    const DescriptorPool& pool = *DescriptorPool::generated_pool();
    switch (request.message_request_case()) {
      case Request::kFileByFilename:
        return files(pool.FindFileByName(request.file_by_filename()), "file", request.file_by_filename(), response);
      case Request::kFileContainingSymbol:
        return files(pool.FindFileContainingSymbol(request.file_containing_symbol()), "symbol",
                     request.file_containing_symbol(), response);
      case Request::kListServices:
        for (const std::string& name : dispatcher_.services()) {
          response.mutable_list_services_response()->add_service()->set_name(name);
        }
        return;
      case Request::kFileContainingExtension:
        return refuse(
            not_found(fmt::format("{} has no extensions", request.file_containing_extension().containing_type())),
            response);
      case Request::kAllExtensionNumbersOfType:
        return refuse(not_found(fmt::format("{} has no extensions", request.all_extension_numbers_of_type())),
                      response);
      default: return refuse(invalid_argument("the request asks for nothing"), response);
    }
  }

  void files(const FileDescriptor* file, std::string_view kind, const std::string& name, Response& response) {
    if (file == nullptr) return refuse(not_found(fmt::format("{} \"{}\" is not known here", kind, name)), response);
    std::set<const FileDescriptor*> seen;
    std::vector<std::string> protos;
    collect(file, seen, protos);
    for (std::string& p : protos) response.mutable_file_descriptor_response()->add_file_descriptor_proto(std::move(p));
  }

  static void refuse(const Error& error, Response& response) {
    response.mutable_error_response()->set_error_code(static_cast<int>(error.code));
    response.mutable_error_response()->set_error_message(error.message);
  }

  const Dispatcher& dispatcher_;
  StreamCall& call_;
};

template <class Request, class Response>
void add(Dispatcher& dispatcher, std::string_view version) {
  dispatcher.streaming(fmt::format("/grpc.reflection.{}.ServerReflection/ServerReflectionInfo", version),
                       [&dispatcher](StreamCall& call) -> std::unique_ptr<StreamHandler> {
                         return std::make_unique<Reflection<Request, Response>>(dispatcher, call);
                       });
}

}  // namespace

void register_reflection(Dispatcher& dispatcher) {
  namespace v1 = ::grpc::reflection::v1;
  namespace v1alpha = ::grpc::reflection::v1alpha;
  add<v1::ServerReflectionRequest, v1::ServerReflectionResponse>(dispatcher, "v1");
  add<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>(dispatcher, "v1alpha");
}

}  // namespace colony::grpc
