# Work for the ruby row: records in hashes and arrays, strings cut and joined, JSON there and back.
require 'json'

$state = 12345
def below(n)
  $state = ($state * 1103515245 + 12345) % 2147483648
  ($state >> 16) % n
end

Item = Struct.new(:id, :name, :tags)

total = 0
kept = []
4.times do |round|
  items = Array.new(20_000) do |i|
    Item.new(i, (1..(1 + below(4))).map { "w#{below(3000)}" }.join('-'), { owner: below(500), size: below(100) })
  end
  groups = items.group_by { |item| item.tags[:owner] }
  text = JSON.generate(items.map { |item| { id: item.id, name: item.name, tags: item.tags } })
  back = JSON.parse(text)
  counts = Hash.new(0)
  back.each do |record|
    record['name'].split('-').each { |word| counts[word] += 1 }
    total += record['name'].gsub(/w(\d)(\d*)/) { "#{$2}#{$1}" }.size
  end
  sorted = counts.sort_by { |word, count| [-count, word] }.map(&:first)
  total += groups.size + text.size + sorted.join(',').sum
  kept[round % 2] = back
end
puts total
