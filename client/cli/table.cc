#include "client/cli/table.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace cairn::client {
namespace {

// Characters, not bytes: continuation bytes of UTF-8 take no column of their own.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

Table::Table(std::initializer_list<std::string> headers) {
  std::vector<std::string> row;
  for (const std::string& header : headers) {
    right_.push_back(header.front() == '>');
    row.push_back(right_.back() ? header.substr(1) : header);
  }
  rows_.push_back(std::move(row));
}

void Table::Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

void Table::Print(std::ostream& out) const {
  std::vector<size_t> widths(right_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - Width(row[i]), ' ');
      if (i > 0) line += "  ";
      line += right_[i] ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
}

}  // namespace cairn::client
