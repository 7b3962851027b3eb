// page_replay FILE...: runs oracle traces and vectors through ream's page layer and compares every
// result. The last line is `OPS n MISMATCHES m`; differences and errors go to stderr.
//
// Exit status: 0 no mismatch, 1 mismatches, 2 a file is malformed or bad use.

#include <cstdio>
#include <string>
#include <string_view>

#include "replay/text_file.h"

namespace {

using ream::replay::Score;
using ream::replay::TextFile;

void replay_file(const char* path, Score& score) {
  TextFile file(path);
  constexpr std::string_view kTitle = "# oracle ";
  if (!file.next() || !file.line().starts_with(kTitle)) file.stop("not an oracle file");
  ream::replay::Fields title(file, file.line().substr(kTitle.size()));
  const std::string kind(title.word());
  if (title.word() != "1") file.stop("unknown version of the format");
  if (kind == "trace")
    replay_trace(file, score);
  else
    check_vectors(file, kind, score);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: page_replay FILE...\n");
    return ream::replay::kExitMalformed;
  }
  Score score;
  for (int i = 1; i < argc; ++i) replay_file(argv[i], score);
  std::printf("OPS %llu MISMATCHES %llu\n", static_cast<unsigned long long>(score.ops()),
              static_cast<unsigned long long>(score.mismatches()));
  return score.mismatches() == 0 ? 0 : 1;
}
