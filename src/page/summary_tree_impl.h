// Definitions of SummaryTree that are not on the way of a single page. Included by summary_tree.h.
#pragma once

#include "page/summary_tree.h"

namespace ream::page {

template <class G>
constexpr Bytes SummaryTree<G>::reservation() noexcept {
  Bytes sum{};
  for (unsigned r = 0; r < G::kRanks; ++r) {
    sum += r < G::kLevels ? MetaArray<Summary>::reservation(G::rank_entries(r))
                          : MetaArray<CrownEntry>::reservation(G::rank_entries(r));
  }
  return sum;
}

template <class G>
void SummaryTree<G>::init(MetaReservation& reservation) noexcept {
  for (unsigned r = 0; r < G::kRanks; ++r) {
    const unsigned log_chunks = G::kRankLogPages[r] - kLogChunkPages;
    const std::uint64_t count = G::rank_entries(r);
    if (r < G::kLevels)
      packed_[r] = reservation.template take<Summary>(count, log_chunks);
    else
      crown_[r - G::kLevels] = reservation.template take<CrownEntry>(count, log_chunks);
  }
}

template <class G>
bool SummaryTree<G>::cover(const Environment& env, const Growth& growth,
                           Bytes& committed) noexcept {
  for (const auto& level : packed_) {
    if (!level.cover(env, growth, committed)) return false;
  }
  for (const auto& level : crown_) {
    if (!level.cover(env, growth, committed)) return false;
  }
  return true;
}

// The climb reads the leaves next to the changed one, and takes them for what the parent shows. So
// where the other chunk that is behind lies in the same block, both are settled by a merge.
template <class G>
void SummaryTree<G>::settle_older() const noexcept {
  const ChunkIndex c = behind_[1].chunk();
  const Summary shown = behind_[1].shown;
  const Summary now = leaf(c);
  behind_[1].key = 0;
  if (now == shown) return;  // changed, and changed back
  const std::uint64_t block = index_at(1, c);
  if (behind_[0].key == 0 || index_at(1, behind_[0].chunk()) != block) {
    climb<1>(c, shown, now);
    return;
  }
  behind_[0].key = 0;
  Summary& parent = packed_[1][block];
  const Summary before = parent;
  parent = Summary::pack(merge_at(1, block));
  if (parent == before) return;
  if constexpr (G::kLevels > 2)
    climb<2>(c, before, parent);
  else if constexpr (kCrownRanks > 0)
    climb_crown(c, before.unpack(), parent.unpack());
}

// A leaf that was full since, or leased, has nothing to tighten.
template <class G>
void SummaryTree<G>::tighten() const noexcept {
  if (loose_.key == 0) return;
  const ChunkIndex c{loose_.key - 1};
  loose_.key = 0;
  const Runs runs = leaf(c).unpack_small();
  if (runs.max == 0) return;
  const auto ends = static_cast<unsigned>(std::max(runs.start, runs.end));
  const unsigned longest = longest_run(*loose_.used, ends, static_cast<unsigned>(runs.max));
  change_leaf(c, leaf(c).with_max(longest));
}

template <class G>
void SummaryTree<G>::catch_up_slow() const noexcept {
  tighten();
  if (behind_[1].key != 0) settle_older();
  if (behind_[0].key == 0) return;
  behind_[1] = behind_[0];
  behind_[0].key = 0;
  settle_older();
}

template <class G>
typename SummaryTree<G>::Position SummaryTree<G>::locate(ChunkIndex c) const noexcept {
  catch_up();
  for (unsigned rank = kTop;; --rank) {
    const std::uint64_t i = index_at(rank, c);
    const Runs runs = at(rank, i);
    if (rank == 0 || runs.max == 0 || runs.max == 1ULL << G::kRankLogPages[rank]) {
      return {rank, i, runs};
    }
  }
}

template <class G>
Runs SummaryTree<G>::summary_of(unsigned rank, std::uint64_t i) const noexcept {
  catch_up();
  const ChunkIndex first{i << (G::kRankLogPages[rank] - kLogChunkPages)};
  for (unsigned above = kTop; above > rank; --above) {
    const Runs runs = at(above, index_at(above, first));
    if (runs.max == 0) return {};
    if (runs.max == 1ULL << G::kRankLogPages[above]) return all_free(G::kRankLogPages[rank]);
  }
  return at(rank, i);
}

template <class G>
void SummaryTree<G>::push_down(ChunkIndex c) noexcept {
  catch_up();
  for (unsigned rank = kTop; rank > 0; --rank) {
    const std::uint64_t i = index_at(rank, c);
    if (at(rank, i).max != 1ULL << G::kRankLogPages[rank]) continue;
    const unsigned bits = G::kRankBlockBits[rank - 1];
    fill(rank - 1, i << bits, (i + 1) << bits, true);
  }
}

// Entries strictly between those of the first and the last chunk are uniform at every rank; the two
// at the edges are merged.
template <class G>
void SummaryTree<G>::change_range(ChunkIndex lo, ChunkIndex hi, Summary first, Summary last,
                                  bool free_between) noexcept {
  catch_up();
  const ChunkIndex end{hi.n - 1};
  leaf(lo) = first;
  leaf(end) = last;
  fill(0, lo.n + 1, end.n, free_between);
  for (unsigned rank = 1; rank <= kTop; ++rank) {
    const std::uint64_t a = index_at(rank, lo);
    const std::uint64_t b = index_at(rank, end);
    bool changed = store(rank, a, merge_at(rank, a));
    if (a != b) {
      changed |= store(rank, b, merge_at(rank, b));
      fill(rank, a + 1, b, free_between);
    }
    if (!changed && b - a <= 1) return;
  }
}

template <class G>
void SummaryTree<G>::grow(ChunkIndex lo, ChunkIndex hi) noexcept {
  if (hi.n - lo.n == 1) return change_leaf(lo, Summary::of_all_free(kLogChunkPages));
  catch_up();
  for (unsigned rank = 0; rank <= kTop; ++rank) {
    // Entries [a, b) are covered wholly; those whose whole block is covered may stay stale.
    const unsigned log_chunks = G::kRankLogPages[rank] - kLogChunkPages;
    const std::uint64_t entry = 1ULL << log_chunks;
    const std::uint64_t a = round_up(lo.n, entry) >> log_chunks;
    const std::uint64_t b = hi.n >> log_chunks;
    if (a < b) {
      const std::uint64_t block = rank == kTop ? 0 : 1ULL << G::kRankBlockBits[rank];
      const std::uint64_t whole_a = block == 0 ? b : round_up(a, block);
      const std::uint64_t whole_b = block == 0 ? b : round_down(b, block);
      if (whole_a < whole_b) {
        fill(rank, a, whole_a, true);
        fill(rank, whole_b, b, true);
      } else {
        fill(rank, a, b, true);
      }
    }
    // Entries covered in part, at most two, are merged from what was written below.
    const std::uint64_t first = lo.n >> log_chunks;
    const std::uint64_t last = (hi.n - 1) >> log_chunks;
    if (!is_aligned(lo.n, entry)) store(rank, first, merge_at(rank, first));
    if (!is_aligned(hi.n, entry)) store(rank, last, merge_at(rank, last));
  }
}

// The same climb over entries that are not packed. The entries below the first crown rank are.
template <class G>
void SummaryTree<G>::climb_crown(ChunkIndex c, Runs old, Runs now) const noexcept {
  for (unsigned rank = G::kLevels; rank < G::kRanks; ++rank) {
    const unsigned bits = G::kRankBlockBits[rank - 1];
    const std::uint64_t i = index_at(rank, c);
    const auto k = static_cast<unsigned>(index_at(rank - 1, c) - (i << bits));
    Runs& parent = crown_[rank - G::kLevels][i].runs;
    const Runs was = parent;
    const auto change = [&](const auto* entries) noexcept {
      return change_entry(parent, entries + (i << bits), k, 1u << bits, G::kRankLogPages[rank - 1],
                          old, now);
    };
    const bool known = rank == G::kLevels ? change(packed_[rank - 1].data())
                                          : change(crown_[rank - 1 - G::kLevels].data());
    if (!known) parent = merge_at(rank, i);
    if (parent == was) return;
    old = was;
    now = parent;
  }
}

template <class G>
bool SummaryTree<G>::is_valid_above(unsigned rank, std::uint64_t index) const noexcept {
  const Runs runs = at(rank, index);
  if (!is_possible(runs, G::kRankLogPages[rank])) return false;
  if (runs == all_free(G::kRankLogPages[rank])) return true;  // below is stale
  return runs == merge_at(rank, index);                       // 1
}

template <class G>
Runs SummaryTree<G>::merge_at(unsigned rank, std::uint64_t i) const noexcept {
  const unsigned bits = G::kRankBlockBits[rank - 1];
  const unsigned log_pages = G::kRankLogPages[rank - 1];
  const std::uint64_t first = i << bits;
  if (rank <= G::kLevels) {
    return merge_summaries(packed_[rank - 1].data() + first, 1ULL << bits, log_pages);
  }
  return merge_summaries(crown_[rank - 1 - G::kLevels].data() + first, 1ULL << bits, log_pages);
}

// False when the entry had that value.
template <class G>
bool SummaryTree<G>::store(unsigned rank, std::uint64_t i, const Runs& runs) noexcept {
  if (rank < G::kLevels) {
    const Summary now = Summary::pack(runs);
    if (packed_[rank][i] == now) return false;
    packed_[rank][i] = now;
    return true;
  }
  Runs& entry = crown_[rank - G::kLevels][i].runs;
  if (entry == runs) return false;
  entry = runs;
  return true;
}

template <class G>
void SummaryTree<G>::fill(unsigned rank, std::uint64_t lo, std::uint64_t hi, bool free) noexcept {
  const Runs runs = free ? all_free(G::kRankLogPages[rank]) : Runs{};
  if (rank < G::kLevels) {
    std::fill(packed_[rank].data() + lo, packed_[rank].data() + hi, Summary::pack(runs));
  } else {
    auto& level = crown_[rank - G::kLevels];
    std::fill(level.data() + lo, level.data() + hi, CrownEntry{runs});
  }
}

}  // namespace ream::page
