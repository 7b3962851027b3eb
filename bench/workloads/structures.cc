// Linked structures: trees of small nodes and hash maps with strings, built, walked and torn down.
//
// Here placement counts as much as the calls: a node that lies near its parent is in the cache when
// the walk reaches it.

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "support.h"

namespace bench {
namespace {

struct TreeNode {
  std::unique_ptr<TreeNode> left;
  std::unique_ptr<TreeNode> right;
  std::uint64_t value = 0;
};

std::unique_ptr<TreeNode> make_tree(unsigned depth, std::uint64_t value) {
  auto node = std::make_unique<TreeNode>();
  node->value = value;
  if (depth > 0) {
    node->left = make_tree(depth - 1, value * 2);
    node->right = make_tree(depth - 1, value * 2 + 1);
  }
  return node;
}

std::uint64_t sum_tree(const TreeNode& node) {
  std::uint64_t sum = node.value;
  if (node.left != nullptr) {
    sum += sum_tree(*node.left) ^ sum_tree(*node.right);
  }
  return sum;
}

// One tree that lives long while many of every depth come and go.
Result binary_trees(double scale) {
  constexpr unsigned kMaxDepth = 17;
  const auto long_lived = make_tree(kMaxDepth, 1);
  Result result;
  for (unsigned depth = 4; depth < kMaxDepth; depth += 3) {
    const std::uint64_t trees = scaled(std::uint64_t{1} << (kMaxDepth + 5 - depth), scale);
    for (std::uint64_t i = 0; i < trees; ++i) {
      result.checksum += sum_tree(*make_tree(depth, i));
    }
    result.ops += trees << (depth + 2);
  }
  result.checksum += sum_tree(*long_lived);
  return result;
}

// A syntax tree as a parser builds it: nodes of several sizes, children in a vector that grows, a
// name in some of them.
struct SyntaxNode {
  enum class Kind : std::uint8_t { kNumber, kName, kCall, kBlock };
  explicit SyntaxNode(Kind k) : kind(k) {}
  virtual ~SyntaxNode() = default;
  virtual std::uint64_t evaluate() const = 0;
  Kind kind;
};

struct NumberNode final : SyntaxNode {
  explicit NumberNode(std::uint64_t v) : SyntaxNode(Kind::kNumber), value(v) {}
  std::uint64_t evaluate() const override { return value; }
  std::uint64_t value;
};

struct NameNode final : SyntaxNode {
  explicit NameNode(std::string n) : SyntaxNode(Kind::kName), name(std::move(n)) {}
  std::uint64_t evaluate() const override { return name.size() * 31 + name.back(); }
  std::string name;
};

struct ListNode final : SyntaxNode {
  ListNode(Kind k, std::uint64_t l) : SyntaxNode(k), line(l) {}
  std::uint64_t evaluate() const override {
    std::uint64_t value = line;
    for (const auto& child : children) {
      value = value * 7 + child->evaluate();
    }
    return value;
  }
  std::uint64_t line;
  std::vector<std::unique_ptr<SyntaxNode>> children;
};

std::unique_ptr<SyntaxNode> parse(Rng& rng, unsigned depth, std::uint64_t& nodes) {
  ++nodes;
  const std::uint64_t kind = depth == 0 ? rng.below(2) : rng.below(8);
  if (kind == 0) {
    return std::make_unique<NumberNode>(rng.below(1000));
  }
  if (kind == 1) {
    return std::make_unique<NameNode>(
        std::string(1 + rng.below(40), static_cast<char>('a' + rng.below(26))));
  }
  auto list = std::make_unique<ListNode>(
      kind < 6 ? SyntaxNode::Kind::kCall : SyntaxNode::Kind::kBlock, rng.below(10'000));
  const std::uint64_t children = 1 + rng.below(7);
  for (std::uint64_t i = 0; i < children; ++i) {
    list->children.push_back(parse(rng, depth - 1, nodes));
  }
  return list;
}

// Files of a program parsed one after the other, the last sixteen kept.
Result parse_trees(double scale) {
  constexpr std::size_t kKept = 16;
  Rng rng(5);
  std::vector<std::unique_ptr<SyntaxNode>> kept(kKept);
  Result result;
  const std::uint64_t files = scaled(500, scale);
  for (std::uint64_t i = 0; i < files; ++i) {
    std::uint64_t nodes = 0;
    auto tree = parse(rng, 8, nodes);
    result.checksum += tree->evaluate();
    result.ops += 2 * nodes;
    kept[i % kKept] = std::move(tree);
  }
  return result;
}

// An index from strings to strings, filled, looked up, half erased and filled again.
Result string_map(double scale) {
  const std::uint64_t keys = scaled(300'000, scale);
  Rng rng(6);
  std::unordered_map<std::string, std::string> map;
  Result result;
  for (unsigned round = 0; round < 3; ++round) {
    for (std::uint64_t i = 0; i < keys; ++i) {
      const std::uint64_t key = rng.below(2 * keys);
      map["user:" + std::to_string(key) + ":profile"] = std::string(1 + key % 100, 'v');
    }
    for (std::uint64_t key = round; key < 2 * keys; key += 2) {
      const auto found = map.find("user:" + std::to_string(key) + ":profile");
      if (found != map.end()) {
        result.checksum += found->second.size();
        map.erase(found);
      }
    }
    result.ops += 2 * keys;
    result.checksum += map.size();
  }
  return result;
}

constexpr Workload kStructures[] = {
    {"binary_trees", "binary trees of depth 4 to 16 built, summed and freed", binary_trees},
    {"parse_trees", "syntax trees of mixed nodes built, evaluated and freed", parse_trees},
    {"string_map", "hash map from string to string, filled and half erased; ops are keys",
     string_map},
};

}  // namespace

std::span<const Workload> structures() { return kStructures; }

}  // namespace bench
