// Uses the client that openapi-generator has made for TypeScript: PROGRAM URL TOKEN RECEIVER SESSION.
import {
  Configuration, DeliveriesApi, EventsApi, GatewayApi, ResponseError, WebhooksApi,
} from "./client/index.js";

declare const process: { argv: string[] };
const [basePath, accessToken, url, session] = process.argv.slice(2) as [string, string, string, string];
const conf = new Configuration({ basePath, accessToken });
const webhooks = new WebhooksApi(conf);
const events = new EventsApi(conf);
const large = 2 ** 33;

function must(holds: boolean, what: unknown): void {
  if (!holds) throw new Error(JSON.stringify(what));
}

async function main(): Promise<void> {
  const made = await webhooks.registerWebhook({ session, webhookNew: { url } });
  const accepted = await events.publish({
    session,
    eventGiven: { event: "message", timestamp: large, data: { n: large } },
    idempotencyKey: "once",
  });
  must(accepted.deliveries === 1 && accepted.timestamp === large, accepted);
  const one = { event: "message", sessionId: session };
  const batch = await events.publishAny({ envelope: [one, one] });
  must(batch.accepted === 2, batch);
  const hooks = await webhooks.listWebhooks({ session });
  must(hooks.webhooks.length === 1 && hooks.webhooks[0]?.id === made.id, hooks);
  for (const until = Date.now() + 20_000; ; await new Promise((done) => setTimeout(done, 50))) {
    const { deliveries } = await new DeliveriesApi(conf).listDeliveries({ session });
    if (deliveries.filter((d) => d.status === "delivered" && d.attempts[0]?.status === 200).length === 3) break;
    must(Date.now() < until, deliveries);
  }
  const stats = await new GatewayApi(conf).showStats();
  must(stats.events.published >= 3 && stats.store.maxBytes > 2 ** 31, stats);
  const webhook = "b807d7e0-f783-4252-9d6d-76f50e2e8348";
  const error = await webhooks.showWebhook({ session, webhook }).catch((e: unknown) => e);
  must(error instanceof ResponseError && error.response.status === 404, error);
}

await main();
