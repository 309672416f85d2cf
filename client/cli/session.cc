#include "client/cli/session.h"

#include <utility>

#include "client/cli/text.h"
#include "client/endpoint.h"
#include "client/error.h"

namespace cairn::client {

Format FormatOf(const GlobalOptions& options) {
  return options.output == "json" ? Format::kJson : Format::kTable;
}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const GlobalOptions& options, Streams streams) {
  ClientOptions client_options;
  absl::StatusOr<std::vector<std::string>> endpoints = ParseEndpoints(options.endpoints);
  if (!endpoints.ok()) return endpoints.status();
  client_options.endpoints = *std::move(endpoints);
  absl::StatusOr<absl::Duration> timeout = ParseTimeout(options.timeout);
  if (!timeout.ok()) return timeout.status();
  client_options.timeout = *timeout;
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create(client_options);
  if (!client.ok()) return client.status();
  return std::unique_ptr<Session>(new Session(*std::move(client), FormatOf(options), streams));
}

std::unique_ptr<Client> Session::ClientOf(const std::string& endpoint) const {
  ClientOptions options = client_->options();
  options.endpoints = {endpoint};
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create(options);
  return client.ok() ? *std::move(client) : nullptr;
}

int Session::Fail(const absl::Status& status) {
  PrintError(streams_.err, format_, status, NextStep(status));
  return OutcomeUnknown(status) ? kExitOutcomeUnknown : kExitFailed;
}

int Session::FailUsage(const absl::Status& status) {
  PrintError(streams_.err, format_, status, "");
  return kExitUsage;
}

void PrintError(std::ostream& err, Format format, const absl::Status& status, std::string_view next_step) {
  const std::string message(status.message());
  if (format == Format::kTable) {
    err << "cairn: " << Printable(message) << '\n';
    if (!next_step.empty()) err << "  next: " << next_step << '\n';
    return;
  }
  Json error = {{"code", absl::StatusCodeToString(status.code())}, {"message", BytesToJson(message)}};
  if (!next_step.empty()) error["next_step"] = next_step;
  error["outcome_unknown"] = OutcomeUnknown(status);
  err << Json{{"error", error}}.dump() << '\n';
}

}  // namespace cairn::client
