#include "client/cli/completion.h"

#include <cstdio>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn::client {
namespace {

using ::testing::HasSubstr;

class CompletionTest : public ::testing::Test {
 protected:
  CompletionTest() {
    app_.add_option("-o,--output", output_, "Form of the answer")->check(CLI::IsMember({"table", "json"}));
    CLI::App* lease = app_.add_subcommand("lease", "Leases");
    CLI::App* grant = lease->add_subcommand("grant", "Don't \"forget\" it");
    grant->add_option("--id", id_, "The id");
    grant->add_flag("--quiet", quiet_, "Say nothing");
    lease->add_subcommand("list", "All leases");
  }

  // What bash offers at the end of `line`, the last word of which is being typed.
  std::string BashOffers(const std::string& line) {
    const std::string file = ::testing::TempDir() + "/cairn-completion-test.bash";
    std::ofstream(file) << CompletionScript(app_, Shell::kBash) << "COMP_WORDS=(" << line
                        << ")\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_cairn\necho -n \"${COMPREPLY[*]}\"\n";
    FILE* bash = popen(("bash " + file).c_str(), "r");
    std::string offered;
    for (int c; (c = fgetc(bash)) != EOF;) offered.push_back(static_cast<char>(c));
    EXPECT_EQ(pclose(bash), 0);
    std::remove(file.c_str());
    return offered;
  }

  CLI::App app_{"", "cairn"};
  std::string output_, id_;
  bool quiet_ = false;
};

TEST_F(CompletionTest, BashOffersCommandsOfTheLevel) {
  EXPECT_EQ(BashOffers("cairn le"), "lease");
  EXPECT_EQ(BashOffers("cairn lease ''"), "grant list -h --help");
  EXPECT_EQ(BashOffers("cairn lease gr"), "grant");
}

TEST_F(CompletionTest, BashOffersOptionsOfTheCommandThatWasTyped) {
  EXPECT_EQ(BashOffers("cairn lease grant --"), "--help --id --quiet");
  EXPECT_EQ(BashOffers("cairn --"), "--help --output");
}

TEST_F(CompletionTest, BashOffersTheValuesOfALimitedOption) {
  EXPECT_EQ(BashOffers("cairn -o ''"), "table json");
  EXPECT_EQ(BashOffers("cairn --output j"), "json");
  EXPECT_EQ(BashOffers("cairn lease grant --id ''"), "");
}

TEST_F(CompletionTest, BashTakesAnOptionsValueForNoCommand) {
  EXPECT_EQ(BashOffers("cairn -o json lease g"), "grant");
  EXPECT_EQ(BashOffers("cairn -o lease l"), "lease");
}

TEST_F(CompletionTest, ZshDescribesEachWord) {
  const std::string script = CompletionScript(app_, Shell::kZsh);
  EXPECT_THAT(script, HasSubstr("#compdef cairn\n"));
  EXPECT_THAT(script, HasSubstr("'grant:Don'\\''t \"forget\" it'"));
  EXPECT_THAT(script, HasSubstr("'--quiet:Say nothing'"));
  EXPECT_THAT(script, HasSubstr("':--output') compadd -- table json; return ;;"));
}

TEST_F(CompletionTest, FishConditionsEachWordOnItsCommand) {
  const std::string script = CompletionScript(app_, Shell::kFish);
  EXPECT_THAT(script,
              HasSubstr("complete -c cairn -n '__cairn_at lease' -a grant -d 'Don\\'t \"forget\" it'\n"));
  EXPECT_THAT(script, HasSubstr("complete -c cairn -n '__cairn_at lease grant' -l id -x -d 'The id'\n"));
  EXPECT_THAT(script, HasSubstr("-s o -l output -x -a 'table json' -d 'Form of the answer'\n"));
}

}  // namespace
}  // namespace cairn::client
