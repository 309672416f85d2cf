#include "client/cli/txn_syntax.h"

#include <string>
#include <vector>

#include "client/cli/text.h"
#include "gtest/gtest.h"

namespace cairn::client {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::TxnRequest;

TxnRequest Parse(const std::vector<std::string>& lines) {
  const auto txn = ParseTxn(lines);
  EXPECT_TRUE(txn.ok()) << txn.status().ToString();
  return txn.ok() ? *txn : TxnRequest();
}
std::string ErrorOf(const std::vector<std::string>& lines) {
  const auto txn = ParseTxn(lines);
  return txn.ok() ? "none" : std::string(txn.status().message());
}

TEST(TxnSyntaxTest, PartsBeginWithTheirWordAndGoOnOverLines) {
  const TxnRequest txn = Parse({"# move the lock on", "if value(lock) = me", "   version(lock) > 0", "",
                                "then", "put lock you", "del waiting/you  # no more", "else get lock"});
  ASSERT_EQ(txn.compare_size(), 2);
  EXPECT_EQ(txn.compare(0).target(), Compare::VALUE);
  EXPECT_EQ(txn.compare(0).value(), "me");
  EXPECT_EQ(txn.compare(1).target(), Compare::VERSION);
  EXPECT_EQ(txn.compare(1).result(), Compare::GREATER);
  ASSERT_EQ(txn.success_size(), 2);
  EXPECT_EQ(txn.success(0).request_put().value(), "you");
  EXPECT_EQ(txn.success(1).request_delete_range().key(), "waiting/you");
  ASSERT_EQ(txn.failure_size(), 1);
  EXPECT_EQ(txn.failure(0).request_range().key(), "lock");
}

TEST(TxnSyntaxTest, ReadsEveryComparison) {
  const TxnRequest txn = Parse({"if", "create(k) = 1", "mod(k) != 2", "version(k) < 3", "value(k) > \"4\"",
                                "lease(k) = 7f3a", "exists(k)", "missing(k)", "mod(k)=-1"});
  ASSERT_EQ(txn.compare_size(), 8);
  EXPECT_EQ(txn.compare(0).create_revision(), 1);
  EXPECT_EQ(txn.compare(1).mod_revision(), 2);
  EXPECT_EQ(txn.compare(1).result(), Compare::NOT_EQUAL);
  EXPECT_EQ(txn.compare(2).version(), 3);
  EXPECT_EQ(txn.compare(2).result(), Compare::LESS);
  EXPECT_EQ(txn.compare(3).value(), "4");
  EXPECT_EQ(txn.compare(4).lease(), 0x7f3a);
  EXPECT_EQ(txn.compare(5).result(), Compare::GREATER);
  EXPECT_EQ(txn.compare(5).target_union_case(), Compare::kVersion);
  EXPECT_EQ(txn.compare(6).result(), Compare::EQUAL);
  EXPECT_EQ(txn.compare(6).version(), 0);
  EXPECT_EQ(txn.compare(7).mod_revision(), -1);
}

TEST(TxnSyntaxTest, ReadsEveryFormOfKeys) {
  const TxnRequest txn =
      Parse({"if mod(prefix a/) < 9", "then get a c limit=5", "get prefix a/ keys-only",
             "get from b count-only", "get \"limit\"", "del a c prev-kv", "del prefix a/"});
  EXPECT_EQ(txn.compare(0).range_end(), "a0");
  EXPECT_EQ(txn.success(0).request_range().range_end(), "c");
  EXPECT_EQ(txn.success(0).request_range().limit(), 5);
  EXPECT_TRUE(txn.success(1).request_range().keys_only());
  EXPECT_EQ(txn.success(1).request_range().range_end(), "a0");
  EXPECT_TRUE(txn.success(2).request_range().count_only());
  EXPECT_EQ(txn.success(2).request_range().range_end(), std::string(1, '\0'));
  EXPECT_EQ(txn.success(3).request_range().key(), "limit");
  EXPECT_EQ(txn.success(4).request_delete_range().range_end(), "c");
  EXPECT_TRUE(txn.success(4).request_delete_range().prev_kv());
  EXPECT_EQ(txn.success(5).request_delete_range().key(), "a/");
}

TEST(TxnSyntaxTest, PutTakesALeaseAndOptions) {
  const auto put = Parse({"then put k v lease=7f3a prev-kv ignore-lease"}).success(0).request_put();
  EXPECT_EQ(put.lease(), 0x7f3a);
  EXPECT_TRUE(put.prev_kv());
  EXPECT_TRUE(put.ignore_lease());
}

TEST(TxnSyntaxTest, QuotedReadsBackEveryByte) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  const auto put = Parse({"then put k " + Quoted(bytes)}).success(0).request_put();
  EXPECT_EQ(put.value(), bytes);
}

TEST(TxnSyntaxTest, QuotedWordsAreNeverKeywords) {
  const auto put = Parse({"then put \"if\" \"then # not a comment\""}).success(0).request_put();
  EXPECT_EQ(put.key(), "if");
  EXPECT_EQ(put.value(), "then # not a comment");
}

TEST(TxnSyntaxTest, AnEmptyTransactionIsOne) { EXPECT_EQ(Parse({"", "# nothing"}).ByteSizeLong(), 0u); }

TEST(TxnSyntaxTest, ErrorsNameTheLineAndWhatWasExpected) {
  EXPECT_EQ(ErrorOf({"then put k v", "", "put k"}), "line 3: expected a value");
  EXPECT_EQ(ErrorOf({"put k v"}), "line 1: expected if or then");
  EXPECT_EQ(ErrorOf({"if size(k) = 1"}),
            "line 1: expected value, version, create, mod, lease, exists or missing");
  EXPECT_EQ(ErrorOf({"if value(k = 1"}), "line 1: expected ')'");
  EXPECT_EQ(ErrorOf({"if value(k) 1"}), "line 1: expected =, !=, < or >");
  EXPECT_EQ(ErrorOf({"if mod(k) = x"}), "line 1: 'x' is not a number");
  EXPECT_EQ(ErrorOf({"if exists(k) get k"}), "line 1: 'get' is too much: one a line");
  EXPECT_EQ(ErrorOf({"then get k", "if exists(k)"}),
            "line 2: the parts are if, then, else, in this order, each once");
  EXPECT_EQ(ErrorOf({"then put k \"v"}), "line 1: a quote is not closed");
  EXPECT_EQ(ErrorOf({"then put k \"\\q\""}), "line 1: unknown escape: there are \\n \\t \\r \\\\ \\\" \\xHH");
  EXPECT_EQ(ErrorOf({"then put k \"\\x4\""}), "line 1: \\x needs two hexadecimal digits");
  EXPECT_EQ(ErrorOf({"then put k v lease=zz"}),
            "line 1: 'zz' is not an id: write its hexadecimal digits, as the lists show them");
}

}  // namespace
}  // namespace cairn::client
