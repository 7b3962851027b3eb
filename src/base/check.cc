#include "base/check.h"

#include "base/format.h"

namespace ream {
namespace {

void lose(const char*, std::size_t) noexcept {}
void trap() noexcept { __builtin_trap(); }

constinit MessageSink g_sink = lose;
constinit EndProgram g_end = trap;

using Line = TextBuffer<512>;

void write(Line& line) noexcept {
  line.text("\n");
  g_sink(line.data(), line.size());
}

[[noreturn]] void end(Line& line) noexcept {
  write(line);
  g_end();
  __builtin_trap();
}

}  // namespace

void set_message_sink(MessageSink sink) noexcept { g_sink = sink; }
void set_end_program(EndProgram end) noexcept { g_end = end; }

void message(const char* text) noexcept {
  Line line;
  write(line.text("ream: ").text(text));
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
