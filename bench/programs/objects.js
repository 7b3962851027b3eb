// Work for the node row: what the engine keeps itself, and buffers and strings that come from malloc.

let state = 12345;
function below(n) {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return (state >>> 8) % n;
}

let total = 0;
const kept = [];
for (let round = 0; round < 12; round++) {
  const map = new Map();
  for (let i = 0; i < 30000; i++) {
    map.set(`key${below(50000)}`, { id: i, name: 'n'.repeat(below(30)), list: [i, i + 1] });
  }
  const text = JSON.stringify([...map.values()]);
  total += JSON.parse(text).length + text.length;
  for (let i = 0; i < 400; i++) {
    const buffer = Buffer.alloc(1024 + below(200000));
    buffer.fill(i & 255, 0, 64);
    total += buffer[below(64)];
    if (i % 10 === 0) kept[below(50)] = buffer;
  }
}
console.log(total);
