#include "base/check.h"

#include "base/format.h"

// Weak: null in a program without a C library, which this layer does not need.
extern "C" {
[[gnu::weak]] long write(int descriptor, const void* data, std::size_t bytes);
[[gnu::weak, noreturn]] void abort() noexcept;
}

namespace ream {
namespace {

void to_stderr(const char* text, std::size_t bytes) noexcept {
  constexpr int kStderr = 2;
  while (bytes > 0 && &::write != nullptr) {
    const long written = ::write(kStderr, text, bytes);
    if (written <= 0) return;
    text += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void end_by_abort() noexcept {
  if (&::abort != nullptr) ::abort();
  __builtin_trap();
}

constinit MessageSink g_sink = to_stderr;
constinit EndProgram g_end = end_by_abort;

using Line = TextBuffer<512>;

void send(Line& line) noexcept {
  line.text("\n");
  g_sink(line.data(), line.size());
}

[[noreturn]] void end(Line& line) noexcept {
  send(line);
  g_end();
  __builtin_trap();
}

}  // namespace

void set_message_sink(MessageSink sink) noexcept { g_sink = sink; }
void set_end_program(EndProgram end) noexcept { g_end = end; }

void message(const char* text) noexcept {
  Line line;
  send(line.text("ream: ").text(text));
}

void fatal(const char* text) noexcept {
  Line line;
  end(line.text("ream: ").text(text));
}

void fatal_at(const char* what, std::uint64_t address) noexcept {
  Line line;
  end(line.text("ream: ").text(what).text(": ").hex(address));
}

void check_failed(const char* text, const char* file, int line_number) noexcept {
  Line line;
  end(line.text("ream: check failed: ")
          .text(text)
          .text(" (")
          .text(file)
          .text(":")
          .dec(static_cast<std::uint64_t>(line_number))
          .text(")"));
}

}  // namespace ream
