// Measures BullMQ as pumice-bench measures Pumice: node bench.mjs PORT PART JOBS prints figures as JSON.
//
// Every setting is BullMQ's default except the concurrency. Completed jobs stay in Redis, as ended runs stay in a realm.

import { Queue, Worker } from "bullmq";

// The fastest of 32, 100, 300 and 1,000.
const CONCURRENCY = 100;
const CALLERS = 16;
const BATCH = 100;
const WARM_UP = 10;
const SAMPLES = 500;
const PAUSE_MS = 1;

// BullMQ requires a worker's connection to retry without a limit.
const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };

const rate = (count, began) => (count * 1000) / (performance.now() - began);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const open = (name) => new Queue(name, { connection });

const one = (queue) => queue.add("noop", {});

async function fill(queue, jobs) {
  for (let left = jobs; left > 0; left -= BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, left) }, () => ({ name: "noop", data: {} }));
    await queue.addBulk(batch);
  }
}

/** Starts a worker. Its `started` has the time at which each job began; `ended(count)` waits until so many are recorded. */
function start(queue) {
  const started = [];
  const worker = new Worker(queue.name, async () => void started.push(performance.now()), {
    connection,
    concurrency: CONCURRENCY,
  });
  let recorded = 0;
  let wake = () => {};
  worker.on("completed", () => {
    recorded += 1;
    wake();
  });
  const failed = new Promise((_, refuse) => {
    worker.on("error", refuse);
    worker.on("failed", (_job, error) => refuse(error));
  });
  const ended = async (count) => {
    while (recorded < count) {
      await Promise.race([new Promise((done) => (wake = done)), failed]);
    }
  };
  return { started, ended };
}

const parts = {
  /** Jobs taken a second from one caller, from sixteen at the same time, and in batches of a hundred. */
  async enqueue(jobs) {
    const single = open("single");
    await one(single);
    let began = performance.now();
    for (let n = 0; n < jobs; n += 1) await one(single);
    const enqueue_s = rate(jobs, began);

    const many = open("many");
    await one(many);
    const each = Math.ceil(jobs / CALLERS);
    const caller = async () => {
      for (let n = 0; n < each; n += 1) await one(many);
    };
    began = performance.now();
    await Promise.all(Array.from({ length: CALLERS }, caller));
    const enqueue_16_s = rate(each * CALLERS, began);

    const bulk = open("bulk");
    await one(bulk);
    began = performance.now();
    await fill(bulk, jobs);
    return { enqueue_s, enqueue_16_s, enqueue_bulk_s: rate(jobs, began) };
  },

  /** Jobs a second from a full queue until the last is recorded as completed. */
  async process(jobs) {
    const queue = open("process");
    await fill(queue, jobs);
    const began = performance.now();
    await start(queue).ended(jobs);
    return { process_s: rate(jobs, began) };
  },

  /** From the request to the start of its job on an idle queue: median and 99th of a hundred, in ms. */
  async latency() {
    const queue = open("latency");
    const { started, ended } = start(queue);
    await fill(queue, WARM_UP);
    await ended(WARM_UP);
    const waits = [];
    for (let n = 0; n < SAMPLES; n += 1) {
      const asked = performance.now();
      await one(queue);
      await ended(WARM_UP + n + 1);
      waits.push(started.at(-1) - asked);
      await pause(PAUSE_MS);
    }
    waits.sort((a, b) => a - b);
    const at = (percent) => waits[Math.floor((waits.length * percent) / 100)];
    return { lat_p50_ms: at(50), lat_p99_ms: at(99) };
  },

  /** Memory of a worker that has nothing to do, in MB. */
  async idle() {
    const queue = open("idle");
    const { ended } = start(queue);
    await fill(queue, WARM_UP);
    await ended(WARM_UP);
    return { rss_mb: process.memoryUsage.rss() / 2 ** 20 };
  },
};

const [, , , part, jobs] = process.argv;
console.log(JSON.stringify(await parts[part](Number(jobs))));
// Open connections would keep the process alive.
process.exit(0);
