// A round of tests with ioredis against the nodes named on the command line; ../README.md tells the story.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import Redis from "ioredis";

const WORKERS = 6;
// A node that is there answers within its own limit of 5 s.
const TIMEOUT_MS = 10_000;
// Longer than any failover: a worker that gets nowhere for so long gives up.
const PATIENCE_MS = 120_000;

function connect(address, options) {
  const [host, port] = [address.slice(0, address.lastIndexOf(":")), Number(address.slice(address.lastIndexOf(":") + 1))];
  const client = new Redis({
    host,
    port,
    connectTimeout: TIMEOUT_MS,
    commandTimeout: TIMEOUT_MS,
    retryStrategy: (times) => Math.min(20 * times, 500),
    ...options,
  });
  // Each command that fails tells it too.
  client.on("error", () => {});
  return client;
}

// Tries a command again on the same node, for commands that may be done twice.
const patient = (address) => connect(address, { maxRetriesPerRequest: 2 });
// Tries nothing again.
const honest = (address) => connect(address, { maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false });

// Commands through `one`; what they did is looked at through `other`.
async function basics(one, other, prefix) {
  const key = (name) => `${prefix}/${name}`;
  assert.equal(await one.ping(), "PONG");
  assert.equal(await one.echo("here"), "here");
  const binary = Buffer.from(Array.from({ length: 700_000 }, (_, place) => (place * 7) % 256));
  assert.equal(await one.set(key("binary"), binary), "OK");
  assert.deepEqual(await other.getBuffer(key("binary")), binary);
  assert.equal(await other.get(key("none")), null);
  assert.equal(await one.mset(key("a"), "1", key("b"), "two"), "OK");
  assert.deepEqual(await other.mget(key("a"), key("b"), key("none")), ["1", "two", null]);
  assert.equal(await one.incr(key("a")), 2);
  assert.equal(await one.decrby(key("a"), 12), -10);
  await assert.rejects(one.incr(key("b")), /^ReplyError: ERR value is not an integer or out of range$/);
  await assert.rejects(one.call("NOSUCH", "x"), /^ReplyError: ERR unknown command 'NOSUCH', with args beginning with: 'x' $/);
  assert.equal(await one.append(key("b"), "+"), 4);
  assert.equal(await other.strlen(key("b")), 4);
  assert.equal(await one.set(key("b"), "x", "NX"), null);
  assert.equal(await one.set(key("b"), "y", "XX", "GET"), "two+");
  assert.equal(await one.set(key("passing"), "x", "EX", 1_000), "OK");
  assert.ok([999, 1_000].includes(await other.ttl(key("passing"))));
  assert.equal(await one.persist(key("passing")), 1);
  assert.equal(await other.ttl(key("passing")), -1);
  assert.equal(await other.type(key("b")), "string");
  assert.equal(await one.getdel(key("passing")), "x");
  assert.equal(await other.exists(key("passing"), key("a")), 1);
  const found = [];
  for await (const keys of other.scanStream({ match: `${prefix}/*`, count: 2 })) {
    found.push(...keys);
  }
  assert.deepEqual(found.sort(), ["a", "b", "binary"].map(key));
  assert.ok((await one.dbsize()) >= 3);
  assert.equal(await one.del(key("a"), key("b"), key("binary"), key("none")), 3);
  assert.deepEqual(await other.keys(`${prefix}/*`), []);
  assert.match(await one.info(), /^loading:0\r$/m);
  assert.deepEqual(await one.config("GET", "appendonly"), ["appendonly", "yes"]);
  assert.equal(await one.client("SETNAME", "round"), "OK");
  assert.equal(await one.client("GETNAME"), "round");
}

// Pipelines and transactions.
async function together(one, other, prefix) {
  const key = (name) => `${prefix}/${name}`;
  const numbers = Array.from({ length: 500 }, (_, number) => number);
  const pipeline = one.pipeline();
  numbers.forEach((number) => pipeline.set(key(`p${number}`), number));
  numbers.forEach((number) => pipeline.get(key(`p${number}`)));
  const expected = [...numbers.map(() => [null, "OK"]), ...numbers.map((number) => [null, String(number)])];
  assert.deepEqual(await pipeline.exec(), expected);
  assert.equal(await other.del(...numbers.map((number) => key(`p${number}`))), 500);
  const done = await one.multi().set(key("t"), "text").incr(key("n")).get(key("t")).exec();
  assert.deepEqual(done, [[null, "OK"], [null, 1], [null, "text"]]);
  // An error undoes all of it: a difference to Redis that the README names.
  await assert.rejects(one.multi().set(key("t"), "other").incr(key("t")).incr(key("n")).exec(), /EXECABORT/);
  assert.deepEqual(await other.mget(key("t"), key("n")), ["text", "1"]);
  await one.watch(key("n"));
  const now = Number(await one.get(key("n")));
  assert.deepEqual(await one.multi().set(key("n"), now + 1).exec(), [[null, "OK"]]);
  await one.watch(key("n"));
  await other.set(key("n"), "theirs");
  assert.equal(await one.multi().set(key("n"), "mine").exec(), null);
  assert.equal(await one.get(key("n")), "theirs");
  assert.equal(await one.del(key("t"), key("n")), 2);
}

// Writes and counts until it is told to stop.
class Worker {
  written = 0;
  counted = 0;
  unknown = 0;

  constructor(number, addresses) {
    this.number = number;
    this.patient = addresses.map(patient);
    this.honest = addresses.map(honest);
    this.place = number % addresses.length;
  }

  async run(isStopped) {
    while (!isStopped()) {
      await this.write();
      await this.count();
    }
  }

  async write() {
    const [key, value] = [`written/${this.number}/${this.written}`, `${this.number} wrote ${this.written}`];
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        assert.equal(await this.patient[this.place].set(key, value), "OK");
        this.written += 1;
        return;
      } catch (error) {
        await this.moveOn(error, deadline);
      }
    }
  }

  async count() {
    let value;
    try {
      value = await this.honest[this.place].incr(`counted/${this.number}`);
    } catch (error) {
      this.unknown += 1;
      return this.moveOn(error, Date.now() + PATIENCE_MS);
    }
    this.counted += 1;
    const [least, most] = [this.counted, this.counted + this.unknown];
    assert.ok(least <= value && value <= most, `INCR gave ${value}, not within ${least} and ${most}`);
  }

  // To the next node, unless the error is none that passes.
  async moveOn(error, deadline) {
    const isRefusal = error.name === "ReplyError" && !/^(CLUSTERDOWN|TRYAGAIN|LOADING|UNKNOWN) /.test(error.message);
    if (error instanceof assert.AssertionError || isRefusal || Date.now() > deadline) {
      throw error;
    }
    this.place = (this.place + 1) % this.patient.length;
    await sleep(20);
  }
}

// Through every node that is there.
async function verify(workers, addresses) {
  let asked = 0;
  for (const address of addresses) {
    const client = honest(address);
    try {
      await client.ping();
    } catch {
      continue;
    }
    asked += 1;
    for (const { number, written, counted, unknown } of workers) {
      for (let from = 0; from < written; from += 500) {
        const numbers = Array.from({ length: Math.min(500, written - from) }, (_, place) => from + place);
        const values = await client.mget(numbers.map((each) => `written/${number}/${each}`));
        assert.deepEqual(values, numbers.map((each) => `${number} wrote ${each}`));
      }
      const total = Number(await client.get(`counted/${number}`));
      assert.ok(counted <= total && total <= counted + unknown, `counted/${number} is ${total}: ${counted} and ${unknown} unknown`);
    }
  }
  assert.ok(asked >= 2, "two nodes are there");
}

async function main(addresses) {
  for (const [place, address] of addresses.entries()) {
    const [one, other] = [patient(address), patient(addresses[(place + 1) % addresses.length])];
    await basics(one, other, `basics/${place}`);
    await together(one, other, `together/${place}`);
    await Promise.all([one.quit(), other.quit()]);
  }
  console.log("ready");

  const workers = Array.from({ length: WORKERS }, (_, number) => new Worker(number, addresses));
  const sum = (what) => workers.reduce((total, worker) => total + worker[what], 0);
  let stopped = false;
  createInterface({ input: process.stdin }).on("line", (line) => {
    stopped ||= line === "stop";
  });
  const telling = setInterval(() => console.log(`acknowledged ${sum("written") + sum("counted")}`), 100);
  await Promise.all(workers.map((worker) => worker.run(() => stopped)));
  clearInterval(telling);
  await verify(workers, addresses);
  console.log(`verified ${sum("written")} writes and ${sum("counted")} increments (${sum("unknown")} unknown)`);
  // Clients of the node that is gone would try for ever.
  process.exit(0);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
