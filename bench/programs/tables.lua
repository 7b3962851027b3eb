-- Work for the lua row: tables, closures and strings that live for a short and for a long time.

local state = 12345
local function below(n)
  state = (state * 1103515245 + 12345) % 2147483648
  return state % n
end

local function tree(depth)
  if depth == 0 then return { value = below(100) } end
  return { left = tree(depth - 1), right = tree(depth - 1), value = depth }
end

local function sum(node)
  local total = node.value
  if node.left then total = total + sum(node.left) + sum(node.right) end
  return total
end

local total = 0
local kept = {}
for round = 1, 60 do
  total = total + sum(tree(12))
  local words = {}
  for i = 1, 4000 do
    words[i] = string.format("%d:%s", below(1000), string.rep("x", below(60)))
  end
  table.sort(words)
  kept[round % 8] = table.concat(words, ",")
  local counters = {}
  for i = 1, 2000 do
    local n = 0
    counters[i] = function() n = n + i; return n end
  end
  for i = 1, 2000 do total = total + counters[i]() end
  total = total + #kept[round % 8]
end
print(total)
