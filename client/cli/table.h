// Columns for a person: as wide as their widest cell, two blanks between them, numbers to the right.
//
// Thread safety: none.
#ifndef CAIRN_CLIENT_CLI_TABLE_H_
#define CAIRN_CLIENT_CLI_TABLE_H_

#include <initializer_list>
#include <ostream>
#include <string>
#include <vector>

namespace cairn::client {

class Table {
 public:
  // A header that begins with '>' is set to the right, with its column.
  explicit Table(std::initializer_list<std::string> headers);

  // As many cells as there are columns. Cells must be printable (client/cli/text.h).
  void Add(std::vector<std::string> cells);

  bool empty() const { return rows_.size() == 1; }

  void Print(std::ostream& out) const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;  // the headers first
};

}  // namespace cairn::client

#endif  // CAIRN_CLIENT_CLI_TABLE_H_
