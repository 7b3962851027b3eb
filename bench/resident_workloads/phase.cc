// Lines of JSON; see phase.h.

#include "phase.h"

#include <array>
#include <cinttypes>
#include <cstdio>

namespace resident {
namespace {

void write_line(const char* name, std::initializer_list<Field> always,
                std::initializer_list<Field> own) {
  std::printf("{\"phase\": \"%s\"", name);
  for (const auto& fields : {always, own}) {
    for (const Field& field : fields) {
      std::printf(", \"%s\": %" PRId64, field.name, field.value);
    }
  }
  std::puts("}");
}

}  // namespace

void Phase::end(std::initializer_list<Field> own) const {
  const Spent now = spent_now();
  const Memory memory = memory_now();
  write_line(name_,
             {{"rss_kib", memory.rss_kib},
              {"anon_huge_kib", memory.anon_huge_kib},
              {"lazy_free_kib", memory.lazy_free_kib},
              {"wall_us", (now.wall_ns - begun_.wall_ns) / 1000},
              {"cpu_us", (now.cpu_ns - begun_.cpu_ns) / 1000},
              {"minor_faults", now.minor_faults - begun_.minor_faults}},
             own);
}

void report_start(std::int64_t bookkeeping_bytes) {
  Phase("start").end({{"bookkeeping_kib", bookkeeping_bytes / 1024}});
}

void keep_lines_here() {
  static std::array<char, 16384> buffer;
  std::setvbuf(stdout, buffer.data(), _IOFBF, buffer.size());
}

}  // namespace resident
