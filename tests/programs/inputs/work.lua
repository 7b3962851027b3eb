-- Work for lua that allocates in many ways and prints what comes out. Argument: the collector.
collectgarbage(arg[1])

local state = 1
local function next_random(n)
  state = (state * 1103515245 + 12345) % 2147483648
  return state % n
end

-- Adler-like sum of a string, so that a short line stands for a long result.
local function sum(text)
  local a, b = 1, 0
  for i = 1, #text do
    a = (a + text:byte(i)) % 65521
    b = (b + a) % 65521
  end
  return b * 65536 + a
end

-- Arrays and records, sorted.
local records = {}
for i = 1, 100000 do
  records[i] = { id = i, key = next_random(1000000), name = "n" .. i % 977, list = { i, i + 1 } }
end
table.sort(records, function(x, y)
  if x.key ~= y.key then return x.key < y.key end
  return x.id < y.id
end)
local parts = {}
for i = 1, #records, 7 do parts[#parts + 1] = records[i].name .. records[i].list[2] end
print("records", sum(table.concat(parts, ",")))

-- Strings that grow, gsub and format.
local text = ""
for i = 1, 3000 do text = text .. string.format("%05d:%s;", i, ("x"):rep(i % 50)) end
local swapped, count = text:gsub("(%d+):(x*)", "%2=%1")
print("strings", #text, sum(swapped), count)

-- Big strings.
local big = ("0123456789abcdef"):rep(200000)
for _ = 1, 5 do big = big:reverse():upper() end
print("big", #big, sum(big:sub(1, 100000)))

-- Hash tables that grow and empty.
for round = 1, 5 do
  local map = {}
  for i = 1, 50000 do map["k" .. i * round] = i end
  for i = 1, 50000, 2 do map["k" .. i * round] = nil end
  local left = 0
  for _, value in pairs(map) do left = left + value end
  print("map", round, left)
end

-- Coroutines.
local function producer(n)
  return coroutine.wrap(function()
    for i = 1, n do coroutine.yield({ i, tostring(i) }) end
  end)
end
local total = 0
for i = 1, 300 do
  for item in producer(i % 60) do total = total + item[1] + #item[2] end
end
print("coroutines", total)

-- Binary trees, made and dropped; finalizers counted.
local dropped = 0
local function tree(depth)
  if depth == 0 then return setmetatable({}, { __gc = function() dropped = dropped + 1 end }) end
  return { tree(depth - 1), tree(depth - 1) }
end
local function leaves(node)
  if #node == 0 then return 1 end
  return leaves(node[1]) + leaves(node[2])
end
for depth = 4, 14 do print("tree", depth, leaves(tree(depth))) end
collectgarbage()
collectgarbage()
print("dropped", dropped)
io.stderr:write("done\n")
