#include "server/rpc/reflection.h"

#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "proto/grpc/reflection_v1.pb.h"
#include "proto/grpc/reflection_v1alpha.pb.h"
#include "server/rpc/server.h"

namespace cairn::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;
using ServiceNames = std::shared_ptr<const std::vector<std::string>>;

void AddFile(const FileDescriptor* file, std::set<const FileDescriptor*>* seen,
             ServerReflectionResponse* response) {
  if (!seen->insert(file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  response->mutable_file_descriptor_response()->add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) AddFile(file->dependency(i), seen, response);
}

void SetError(GrpcCode code, const std::string& message, ServerReflectionResponse* response) {
  response->mutable_error_response()->set_error_code(static_cast<int>(code));
  response->mutable_error_response()->set_error_message(message);
}

void SetFile(const FileDescriptor* file, const std::string& asked_for, ServerReflectionResponse* response) {
  if (file == nullptr) return SetError(GrpcCode::kNotFound, "not found: " + asked_for, response);
  std::set<const FileDescriptor*> seen;
  AddFile(file, &seen, response);
}

ServerReflectionResponse Answer(const ServerReflectionRequest& request,
                                const std::vector<std::string>& services) {
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kFileByFilename:
      SetFile(pool.FindFileByName(request.file_by_filename()), request.file_by_filename(), &response);
      break;
    case ServerReflectionRequest::kFileContainingSymbol:
      SetFile(pool.FindFileContainingSymbol(request.file_containing_symbol()),
              request.file_containing_symbol(), &response);
      break;
    case ServerReflectionRequest::kFileContainingExtension: {
      const auto& asked = request.file_containing_extension();
      const Descriptor* type = pool.FindMessageTypeByName(asked.containing_type());
      const FieldDescriptor* extension =
          type == nullptr ? nullptr : pool.FindExtensionByNumber(type, asked.extension_number());
      SetFile(extension == nullptr ? nullptr : extension->file(),
              asked.containing_type() + " extension " + std::to_string(asked.extension_number()), &response);
      break;
    }
    case ServerReflectionRequest::kAllExtensionNumbersOfType: {
      const std::string& name = request.all_extension_numbers_of_type();
      const Descriptor* type = pool.FindMessageTypeByName(name);
      if (type == nullptr) {
        SetError(GrpcCode::kNotFound, "not found: " + name, &response);
        break;
      }
      response.mutable_all_extension_numbers_response()->set_base_type_name(name);
      std::vector<const FieldDescriptor*> extensions;
      pool.FindAllExtensions(type, &extensions);
      for (const FieldDescriptor* extension : extensions) {
        response.mutable_all_extension_numbers_response()->add_extension_number(extension->number());
      }
      break;
    }
    case ServerReflectionRequest::kListServices:
      response.mutable_list_services_response();
      for (const std::string& name : services) {
        response.mutable_list_services_response()->add_service()->set_name(name);
      }
      break;
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      SetError(GrpcCode::kInvalidArgument, "the request asks for nothing", &response);
      break;
  }
  return response;
}

class ReflectionHandler final : public StreamHandler {
 public:
  ReflectionHandler(CallPtr call, ServiceNames services)
      : call_(std::move(call)), services_(std::move(services)) {}

  void OnMessage(std::string_view message) override {
    ServerReflectionRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return call_->Finish(GrpcCode::kInternal,
                           "grpc: error unmarshalling request: not a ServerReflectionRequest");
    }
    call_->Send(Answer(request, *services_));
    if (!call_->writable()) call_->PauseReading();  // one small question may have a large answer
  }
  void OnHalfClose() override { call_->Finish(); }
  void OnCancel(CancelReason) override {}
  void OnWritable() override { call_->ResumeReading(); }

 private:
  const CallPtr call_;
  const ServiceNames services_;
};

}  // namespace

void AddReflection(Server& server) {
  // Both versions look the same on the wire, so one set of messages serves both; the other file must be
  // linked in all the same, because clients ask for it too.
  const std::string v1 = grpc::reflection::v1::ServerReflectionRequest::descriptor()->file()->package();
  const std::string v1alpha =
      grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()->file()->package();
  std::vector<std::string> names = server.ServiceNames();
  for (const std::string& package : {v1, v1alpha}) names.push_back(package + ".ServerReflection");
  const auto services = std::make_shared<const std::vector<std::string>>(std::move(names));
  for (const std::string& package : {v1, v1alpha}) {
    server.AddStream("/" + package + ".ServerReflection/ServerReflectionInfo", [services](CallPtr call) {
      return std::make_unique<ReflectionHandler>(std::move(call), services);
    });
  }
}

}  // namespace cairn::rpc
