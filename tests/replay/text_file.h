// Lines of an oracle file and the fields in them. A file that breaks the format ends the program
// with its name, the line number and what was wrong, and exit status 2.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace ream::replay {

inline constexpr int kExitMalformed = 2;

class TextFile {
 public:
  explicit TextFile(const std::string& path) : path_(path), in_(path) {
    if (!in_) stop("cannot be opened");
  }

  // The next line, without its end; false at the end of the file.
  bool next() {
    if (!std::getline(in_, line_)) return false;
    ++number_;
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    return true;
  }

  [[nodiscard]] std::string_view line() const { return line_; }
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  [[noreturn]] void stop(std::string_view why) const {
    std::fprintf(stderr, "%s:%llu: %.*s\n", path_.c_str(), static_cast<unsigned long long>(number_),
                 static_cast<int>(why.size()), why.data());
    std::exit(kExitMalformed);
  }

 private:
  std::string path_;
  std::ifstream in_;
  std::string line_;
  std::uint64_t number_ = 0;
};

// Takes fields from the front of a line.
class Fields {
 public:
  Fields(const TextFile& file, std::string_view text) : file_(file), rest_(text) { skip_spaces(); }

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }

  std::string_view word() {
    if (rest_.empty()) file_.stop("a field is missing");
    const std::size_t end = std::min(rest_.find(' '), rest_.size());
    const std::string_view taken = rest_.substr(0, end);
    rest_.remove_prefix(end);
    skip_spaces();
    return taken;
  }
  std::uint64_t dec() { return number(word(), 10); }
  std::uint64_t hex() { return number(word(), 16); }
  std::uint64_t dec_below(std::uint64_t limit) {
    const std::uint64_t x = dec();
    if (x >= limit) file_.stop("a number is out of range");
    return x;
  }

  void expect(std::string_view token) {
    if (word() != token) file_.stop(std::string("expected ") + std::string(token));
  }
  // Whether the next word is `token`; takes it if so.
  bool accept(std::string_view token) {
    if (rest_.substr(0, std::min(rest_.find(' '), rest_.size())) != token) return false;
    word();
    return true;
  }
  void finish() const {
    if (!rest_.empty()) file_.stop("too many fields");
  }

  [[nodiscard]] std::uint64_t number(std::string_view text, int base) const {
    std::uint64_t x = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x, base);
    if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
      file_.stop("not a number: " + std::string(text));
    }
    return x;
  }

 private:
  void skip_spaces() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }

  const TextFile& file_;
  std::string_view rest_;
};

// Counts what was compared and shows the first differences.
class Score {
 public:
  void op() { ++ops_; }
  void compare(const TextFile& file, std::string_view expected, std::string_view got) {
    if (expected == got) return;
    if (++mismatches_ > kShown) return;
    std::fprintf(stderr, "%s:%llu: mismatch\n  file: %s\n  ream: %s\n", file.path().c_str(),
                 static_cast<unsigned long long>(file.number()), cut(expected).c_str(),
                 cut(got).c_str());
  }
  [[nodiscard]] std::uint64_t ops() const { return ops_; }
  [[nodiscard]] std::uint64_t mismatches() const { return mismatches_; }

 private:
  static constexpr std::uint64_t kShown = 10;
  static std::string cut(std::string_view text) { return std::string(text.substr(0, 300)); }

  std::uint64_t ops_ = 0;
  std::uint64_t mismatches_ = 0;
};

// Appends to a line: words separated by one space.
class LineText {
 public:
  LineText& word(std::string_view text) {
    if (!text_.empty()) text_ += ' ';
    text_ += text;
    return *this;
  }
  LineText& dec(std::uint64_t x) { return word(std::to_string(x)); }
  LineText& hex(std::uint64_t x) {
    char digits[17];
    const auto end = std::to_chars(digits, digits + sizeof digits, x, 16).ptr;
    return word(std::string_view(digits, static_cast<std::size_t>(end - digits)));
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void replay_trace(TextFile& file, Score& score);
void check_vectors(TextFile& file, std::string_view kind, Score& score);

}  // namespace ream::replay
