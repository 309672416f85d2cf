// The program as a whole: command lines in, text and exit codes out.
#include "client/cli/cli.h"

#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/fake_member.h"

namespace cairn::client {
namespace {

using ::testing::HasSubstr;

class CliTest : public ::testing::Test {
 protected:
  int Run(std::vector<const char*> arguments, const std::string& input = "") {
    arguments.insert(arguments.begin(),
                     {"cairn", "--endpoints", member_.address().c_str(), "--timeout", "20s"});
    return RunExactly(arguments, input);
  }
  int RunExactly(const std::vector<const char*>& arguments, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out, err;
    const int code = RunCli(static_cast<int>(arguments.size()), arguments.data(), {in, out, err});
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  FakeMember member_;
  std::string out_, err_;
};

TEST_F(CliTest, HelpOfEveryCommandHasAnExample) {
  for (const std::vector<const char*>& command :
       std::vector<std::vector<const char*>>{{},
                                             {"put"},
                                             {"get"},
                                             {"del"},
                                             {"compact"},
                                             {"txn"},
                                             {"watch"},
                                             {"lease"},
                                             {"lease", "grant"},
                                             {"lease", "revoke"},
                                             {"lease", "keep-alive"},
                                             {"lease", "timetolive"},
                                             {"lease", "list"},
                                             {"status"},
                                             {"members"},
                                             {"health"},
                                             {"move-leader"},
                                             {"completion"},
                                             {"completion", "bash"}}) {
    std::vector<const char*> line = {"cairn"};
    line.insert(line.end(), command.begin(), command.end());
    line.push_back("--help");
    EXPECT_EQ(RunExactly(line), kExitOk);
    EXPECT_THAT(out_, HasSubstr("Example")) << (command.empty() ? "cairn" : command.back());
  }
}

TEST_F(CliTest, AWrongCommandLineIsUsageAndPointsToTheHelp) {
  EXPECT_EQ(Run({"bogus"}), kExitUsage);
  EXPECT_EQ(err_, "cairn: there is no command 'bogus'\n  next: cairn --help\n");
  EXPECT_EQ(Run({"lease", "grant"}), kExitUsage);
  EXPECT_EQ(err_, "cairn: ttl is required\n  next: cairn lease grant --help\n");
  EXPECT_EQ(Run({"get", "--prefix", "--from-key", "k"}), kExitUsage);
  EXPECT_EQ(Run({"lease", "revoke", "xyz"}), kExitUsage);
  EXPECT_EQ(Run({"-o", "xml", "get", "k"}), kExitUsage);
  EXPECT_EQ(Run({"put", "k", "v", "--timeout", "soon"}), kExitUsage);
  EXPECT_EQ(out_, "");
}

TEST_F(CliTest, HttpsIsRefused) {
  EXPECT_EQ(RunExactly({"cairn", "--endpoints", "https://127.0.0.1:2379", "get", "k"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("TLS is not supported yet"));
}

TEST_F(CliTest, PutReadsTheValueFromTheInputWhenItIsLeftOut) {
  etcdserverpb::PutRequest seen;
  member_.on_put = [&seen](const auto& request, auto* response) {
    seen = request;
    response->mutable_header()->set_revision(8);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"put", "k"}, std::string("a\0b\n", 4)), kExitOk);
  EXPECT_EQ(seen.value(), std::string("a\0b\n", 4));
  EXPECT_EQ(out_, "put at revision 8\n");
  EXPECT_EQ(Run({"put", "--lease", "7f3a", "k", "v"}, "not read"), kExitOk);
  EXPECT_EQ(seen.value(), "v");
  EXPECT_EQ(seen.lease(), 0x7f3a);
  EXPECT_EQ(Run({"put", "--ignore-value", "k"}, "not read"), kExitOk);
  EXPECT_EQ(seen.value(), "");
  EXPECT_TRUE(seen.ignore_value());
}

TEST_F(CliTest, GetShowsATableOrJsonOrTheBareValue) {
  member_.on_range = [](const auto&, etcdserverpb::RangeResponse* response) {
    mvccpb::KeyValue& kv = *response->add_kvs();
    kv.set_key("k");
    kv.set_value("a\nb");
    kv.set_create_revision(4);
    kv.set_mod_revision(6);
    kv.set_version(2);
    response->set_count(1);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"get", "k"}), kExitOk);
  EXPECT_EQ(out_,
            "KEY  VALUE  VERSION  CREATED  MODIFIED  LEASE\n"
            "k    a\\nb         2        4         6  -\n");
  EXPECT_EQ(Run({"get", "k", "-o", "json"}), kExitOk);
  EXPECT_EQ(out_, R"({"kvs":[{"key":"k","value":"a\nb","create_revision":4,"mod_revision":6,"version":2}],)"
                  R"("more":false,"count":1})"
                  "\n");
  EXPECT_EQ(Run({"get", "--value-only", "k"}), kExitOk);
  EXPECT_EQ(out_, "a\nb\n");
}

TEST_F(CliTest, GetAsksForWhatItsOptionsSay) {
  etcdserverpb::RangeRequest seen;
  member_.on_range = [&seen](const auto& request, auto*) {
    seen = request;
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"get", "--prefix", "jobs/", "--sort-by", "create", "--order", "descend", "--limit", "3",
                 "--rev", "9", "--serializable", "--min-mod-rev", "2", "--keys-only"}),
            kExitNo);
  EXPECT_EQ(seen.key(), "jobs/");
  EXPECT_EQ(seen.range_end(), "jobs0");
  EXPECT_EQ(seen.sort_target(), etcdserverpb::RangeRequest::CREATE);
  EXPECT_EQ(seen.sort_order(), etcdserverpb::RangeRequest::DESCEND);
  EXPECT_EQ(seen.limit(), 3);
  EXPECT_EQ(seen.revision(), 9);
  EXPECT_TRUE(seen.serializable());
  EXPECT_EQ(seen.min_mod_revision(), 2);
  EXPECT_TRUE(seen.keys_only());
}

TEST_F(CliTest, AMissingKeyIsNo) { EXPECT_EQ(Run({"get", "k"}), kExitNo); }

TEST_F(CliTest, ARefusalIsFailedAndTellsTheNextStep) {
  member_.on_range = [](auto&, auto*) { return WireStatus(ClientError::kCompacted); };
  EXPECT_EQ(Run({"get", "--rev", "1", "k"}), kExitFailed);
  EXPECT_EQ(err_,
            "cairn: etcdserver: mvcc: required revision has been compacted\n"
            "  next: read at the current revision and restart watches from it\n");
}

TEST_F(CliTest, AnErrorIsJsonWithJsonOutput) {
  member_.on_range = [](auto&, auto*) { return WireStatus(ClientError::kFutureRevision); };
  EXPECT_EQ(Run({"-o", "json", "get", "--rev", "99", "k"}), kExitFailed);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(
      err_,
      R"({"error":{"code":"OUT_OF_RANGE","message":"etcdserver: mvcc: required revision is a future revision",)"
      R"("next_step":"use a revision up to the one in the answers' headers","outcome_unknown":false}})"
      "\n");
}

TEST_F(CliTest, AWriteInDoubtHasAnExitCodeOfItsOwn) {
  member_.on_put = [](auto&, auto*) { return WireStatus(ClientError::kTimeout); };
  EXPECT_EQ(Run({"put", "k", "v"}), kExitOutcomeUnknown);
  EXPECT_THAT(err_, HasSubstr("it may or may not have happened"));
}

TEST_F(CliTest, WatchEndsAfterTheChangesItWasAskedFor) {
  member_.on_watch = [](const auto& create, FakeMember::WatchStream* stream) {
    EXPECT_EQ(create.key(), "k");
    EXPECT_TRUE(create.prev_kv());
    etcdserverpb::WatchResponse response;
    for (const int64_t revision : {4, 5, 6}) {
      mvccpb::Event& event = *response.add_events();
      if (revision == 5) event.set_type(mvccpb::Event::DELETE);
      event.mutable_kv()->set_key("k");
      event.mutable_kv()->set_mod_revision(revision);
      if (revision == 5) event.mutable_prev_kv()->set_value("v");
    }
    stream->Write(response);
    etcdserverpb::WatchRequest request;
    while (stream->Read(&request)) {
    }
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"watch", "--prev-kv", "--rev", "4", "--count", "2", "k"}), kExitOk);
  EXPECT_EQ(out_,
            "4  put  \"k\" = \"\"\n"
            "5  delete  \"k\"  (before: \"v\")\n");
}

TEST_F(CliTest, CompletionKnowsTheCommands) {
  EXPECT_EQ(RunExactly({"cairn", "completion", "bash"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("'lease') words='grant revoke keep-alive timetolive list"));
  EXPECT_THAT(out_, HasSubstr("':-o') COMPREPLY=($(compgen -W 'table json'"));
}

}  // namespace
}  // namespace cairn::client
