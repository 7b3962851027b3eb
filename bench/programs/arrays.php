<?php
// Work for the php rows: arrays, strings, regular expressions and JSON.

$state = 12345;
function below(int $n): int {
  global $state;
  $state = ($state * 1103515245 + 12345) % 2147483648;
  return ($state >> 16) % $n;
}

class Item {
  public function __construct(public int $id, public string $name, public array $tags) {}
}

$total = 0;
$kept = [];
for ($round = 0; $round < 8; $round++) {
  $items = [];
  for ($i = 0; $i < 25000; $i++) {
    $words = [];
    for ($k = below(4); $k >= 0; $k--) {
      $words[] = 'w' . below(3000);
    }
    $items[] = new Item($i, implode('-', $words), ['owner' => below(500), 'size' => below(100)]);
  }
  $groups = [];
  foreach ($items as $item) {
    $groups[$item->tags['owner']][] = $item;
  }
  $text = json_encode($items);
  $back = json_decode($text, true);
  $counts = [];
  foreach ($back as $record) {
    foreach (explode('-', $record['name']) as $word) {
      $counts[$word] = ($counts[$word] ?? 0) + 1;
    }
    $total += strlen(preg_replace('/w(\d)(\d*)/', '$2-$1', $record['name']));
    preg_match_all('/\d+/', $record['name'], $found);
    $total += count($found[0]);
  }
  ksort($counts);
  $total += count($groups) + strlen($text) + crc32(implode(',', array_keys($counts)));
  usort($items, fn($a, $b) => [$a->name, $a->id] <=> [$b->name, $b->id]);
  $total += $items[100]->id;
  $kept[$round % 2] = str_repeat($text, 2);
}
echo $total, "\n";
