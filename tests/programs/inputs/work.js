// Work for node: worker threads that allocate, compress, parse, hash and pass buffers to each
// other. Argument: how many workers. Prints each worker's answer in the workers' order.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');

const sha = (data) => crypto.createHash('sha256').update(data).digest('hex').slice(0, 16);

function bytes(length, seed) {
  const out = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (state * 1103515245 + 12345) % 2147483648;
    out[i] = state >>> 16;
  }
  return out;
}

function work(seed) {
  const answers = [];
  const records = [];
  for (let i = 0; i < 20000; i++) {
    const text = 'x'.repeat(i % 50);
    records.push({ id: i, name: `n${i * seed}`, list: [i, i + 1, i + 2], text });
  }
  const text = JSON.stringify(records);
  answers.push(sha(text), JSON.parse(text).length);
  const packed = zlib.deflateSync(text, { level: 6 });
  answers.push(sha(packed), zlib.inflateSync(packed).length);
  const params = { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 };
  answers.push(sha(zlib.brotliCompressSync(text.slice(0, 200000), { params })));
  const map = new Map();
  for (let i = 0; i < 50000; i++) map.set(`k${i}`, Buffer.from(`value ${i * seed}`));
  for (let i = 0; i < 50000; i += 3) map.delete(`k${i}`);
  const whole = crypto.createHash('sha256');
  for (const value of map.values()) whole.update(value);
  answers.push(whole.digest('hex').slice(0, 16));
  const pieces = [];
  for (let i = 0; i < 300; i++) pieces.push(bytes(1 + i * 97, seed + i));
  answers.push(sha(Buffer.concat(pieces)));
  for (let size = 1 << 10; size <= 1 << 23; size <<= 1) {
    answers.push(new Float64Array(size / 8).length);
  }
  answers.push(text.replace(/"name":"n(\d+)"/g, (_, n) => n).length);
  return answers.join(' ');
}

if (isMainThread) {
  const count = Number(process.argv[2]);
  const answers = [];
  let ended = 0;
  for (let index = 0; index < count; index++) {
    const worker = new Worker(__filename, { workerData: { index } });
    const shared = bytes(1 << 20, index);
    worker.postMessage(shared.buffer, [shared.buffer]);
    worker.on('message', (message) => {
      answers[index] = `${message.answer} ${sha(Buffer.from(message.back))}`;
    });
    worker.on('error', (error) => { throw error; });
    worker.on('exit', (status) => {
      if (status !== 0) process.exitCode = 1;
      if (++ended === count) answers.forEach((answer, i) => console.log(i, answer));
    });
  }
  console.log('main', work(99));
} else {
  parentPort.once('message', (buffer) => {
    const mine = Buffer.from(buffer);
    for (let i = 0; i < mine.length; i += 4096) mine[i] ^= 0xff;
    parentPort.postMessage({ answer: work(workerData.index + 1), back: buffer }, [buffer]);
  });
}
