// A webhook sender with Fastify, BullMQ and Redis, as a team would write it instead: the same
// call, the same 202 after the job is in Redis (which syncs each write), the same body, headers,
// signatures and retries, as far as one receiver and one session need them. It does without what
// waybill has beyond that: no isolation, no circuits, no queries.
//
// usage: node sender.js api|worker   with SOCKET (of Redis), URL, SECRET and TOKEN set
"use strict";

const crypto = require("node:crypto");
const { Queue, Worker } = require("bullmq");

const { SOCKET, URL: HOOK, SECRET, TOKEN } = process.env;
const NAME = "deliveries";
const CONCURRENCY = 64;
const TIMEOUT_MS = 5000;
const S = 1000, M = 60 * S, H = 60 * M;
const WAITS = [5 * S, 30 * S, 2 * M, 10 * M, 30 * M, 2 * H, 5 * H, 10 * H, 10 * H];
const EVENT = /^[a-z0-9_.]{1,64}$/;

function connection(options) {
  return { path: SOCKET, ...options };
}

async function serve() {
  // ioredis sends the commands of one turn of the loop together
  const queue = new Queue(NAME, { connection: connection({ enableAutoPipelining: true }) });
  const app = require("fastify")({ logger: false, bodyLimit: 1 << 20 });
  const schema = {
    body: {
      type: "object",
      required: ["event"],
      properties: { event: { type: "string" }, timestamp: { type: "integer" }, data: {} },
    },
  };
  app.post("/api/v1/sessions/:session/events", { schema }, async (request, reply) => {
    if (request.headers.authorization !== `Bearer ${TOKEN}`)
      return reply.code(401).send({ success: false });
    const { event, timestamp = Math.floor(Date.now() / 1000), data = {} } = request.body;
    if (!EVENT.test(event))
      return reply.code(400).send({ success: false });
    const session = request.params.session;
    const id = crypto.randomUUID();
    const body = JSON.stringify({ session_id: session, event, timestamp, data });
    await queue.add("deliver", { id, session, event, url: HOOK, body }, {
      attempts: WAITS.length + 1,
      backoff: { type: "custom" },
      removeOnComplete: true,
    });
    return reply.code(202).send({ id, session_id: session, event, timestamp, deliveries: 1 });
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  console.log(`bullmq ready on http://127.0.0.1:${app.server.address().port}`);
}

function headersOf(job, now) {
  const { id, session, event, body } = job.data;
  const text = String(now);
  const hex = crypto.createHmac("sha256", SECRET).update(body).digest("hex");
  const standard = crypto.createHmac("sha256", SECRET)
    .update(`${id}.${text}.`).update(body).digest("base64");
  return {
    "content-type": "application/json",
    "user-agent": "bullmq",
    "x-webhook-event": event,
    "x-webhook-session": session,
    "x-webhook-id": id,
    "x-webhook-delivery": job.id,
    "x-webhook-attempt": String(job.attemptsMade + 1),
    "x-webhook-timestamp": text,
    "x-webhook-signature": `sha256=${hex}`,
    "webhook-id": id,
    "webhook-timestamp": text,
    "webhook-signature": `v1,${standard}`,
  };
}

function work() {
  const { Agent, request } = require("undici");
  const dispatcher = new Agent({
    connections: CONCURRENCY, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS,
  });
  const deliver = async (job) => {
    const headers = headersOf(job, Math.floor(Date.now() / 1000));
    const answer = await request(job.data.url, {
      method: "POST", headers, body: job.data.body, dispatcher,
    });
    await answer.body.dump();
    if (answer.statusCode < 200 || answer.statusCode > 299)
      throw new Error(`answered ${answer.statusCode}`);
  };
  const backoffStrategy = (attempts) =>
    WAITS[Math.min(attempts, WAITS.length) - 1] * (0.8 + 0.4 * Math.random());
  const worker = new Worker(NAME, deliver, {
    connection: connection({ enableAutoPipelining: true }),
    concurrency: CONCURRENCY,
    settings: { backoffStrategy },
  });
  worker.on("error", (error) => console.error(error));
  worker.on("failed", (job, error) => console.error(error.message));
  worker.waitUntilReady().then(() => console.log("worker ready on http://127.0.0.1:0"), (error) => {
    console.error(error);
    process.exit(1);
  });
}

if (process.argv[2] === "worker")
  work();
else
  serve();
