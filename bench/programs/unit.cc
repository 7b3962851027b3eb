// Work for the compilers: a file whose templates keep them busy for some seconds.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace {

using Value = std::variant<int, double, std::string, std::vector<int>>;

template <int N>
struct Row {
  std::map<std::string, std::tuple<Value, std::optional<Row<N - 1>>>> cells;
  std::unordered_map<int, std::function<std::string(const Value&)>> formats;

  std::string text() const {
    std::ostringstream out;
    for (const auto& [key, cell] : cells) {
      std::visit(
          [&out, &key = key](const auto& value) {
            if constexpr (requires { out << value; }) {
              out << key << '=' << value << ';';
            } else {
              out << key << '=' << std::accumulate(value.begin(), value.end(), N) << ';';
            }
          },
          std::get<0>(cell));
      if (const auto& nested = std::get<1>(cell)) {
        out << nested->text();
      }
    }
    return out.str();
  }
};

template <>
struct Row<0> {
  std::string text() const { return {}; }
};

}  // namespace

std::string describe(const std::string& input) {
  Row<3> row;
  const std::regex pair(R"((\w+)=(\w+))");
  for (std::sregex_iterator it(input.begin(), input.end(), pair), end; it != end; ++it) {
    row.cells.emplace((*it)[1], std::tuple{Value{(*it)[2].str()}, std::nullopt});
  }
  std::set<std::string> sorted;
  std::transform(row.cells.begin(), row.cells.end(), std::inserter(sorted, sorted.end()),
                 [](const auto& cell) { return cell.first; });
  return row.text() + (sorted.empty() ? "" : *sorted.rbegin());
}
