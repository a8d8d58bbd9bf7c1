/* How the server does: rates, latency, backlog over the last hour, and the webhooks that hurt. */
import {all, each, get, hooksPath, path, store} from "./api.js";
import {chart} from "./chart.js";
import {badge, bytes, card, count, data, h, httpStatus, ms, brief, span, swap, table, ago, whose} from "./dom.js";

const rate = (n) => n === null || n === undefined ? "–"
	: (n >= 100 || n === 0 ? count(Math.round(n)) : n >= 10 ? n.toFixed(1) : n.toFixed(2)) + "/s";

const tile = (name, value, note, cls, href) => h("div", {class: "tile " + (cls ?? "")},
	h("dt", null, href ? h("a", {href}, name) : name), h("dd", null, h("b", null, value), note && h("span", null, note)));

/* Counts of an interval as rates; the first has none before it and is taken to be as long as the next. */
function rates(history, key) {
	return history.map((point, i) => {
		const next = history[i + 1]?.at ?? point.at;
		const before = history[i - 1]?.at;
		const seconds = (Date.parse(before ? point.at : next) - Date.parse(before ?? point.at)) / 1000;
		return point[key] / (seconds > 0 ? seconds : 10);
	});
}

const plain = (n) => n === null || n === undefined ? "–" : count(Math.round(n));

function charts(history) {
	const times = history.map((point) => Date.parse(point.at));
	const column = (key) => history.map((point) => point[key] ?? null);
	const empty = history.length === 0;
	if (empty)
		return h("p", {class: "card empty"}, "The first measurements come within ten seconds.");
	return h("div", {class: "charts"},
		chart("Per second", "rates", times, [
			{name: "published", cls: "c1", values: rates(history, "published")},
			{name: "delivered", cls: "c2", values: rates(history, "delivered"), area: true},
			{name: "failed", cls: "c3", values: rates(history, "failed")},
		], rate),
		chart("From receipt to delivery", "latency", times, [
			{name: "p50", cls: "c2", values: column("receipt_p50_ms")},
			{name: "p99", cls: "c4", values: column("receipt_p99_ms")},
		], ms),
		chart("Waiting deliveries", "backlog", times, [
			{name: "waiting", cls: "c4", values: column("waiting"), area: true},
		], plain),
		chart("Given up", "dead", times, [
			{name: "dead letters", cls: "c3", values: column("dead"), area: true},
		], plain));
}

function tiles(stats) {
	const d = stats.deliveries;
	const now = stats.history.at(-1);
	const ten = stats.history.slice(-6);
	const published = rates(stats.history, "published").slice(-6);
	const mean = ten.length ? published.reduce((a, b) => a + b, 0) / ten.length : 0;
	const circuits = stats.circuits.open + stats.circuits.half_open;
	const {store} = stats;
	const used = store.max_bytes ? store.used_bytes / store.max_bytes : 0;
	return h("dl", {class: "tiles"},
		tile("Events", rate(mean), `${count(stats.events.published)} since the start`, "", "#/tail"),
		tile("Delivered", count(d.delivered), `${count(d.retried)} retried`, "", "#/deliveries?status=delivered"),
		tile("Waiting", count(d.waiting), d.waiting ? `oldest ${span(d.oldest_waiting_seconds ?? 0)}` : "nothing is late",
			d.oldest_waiting_seconds > 600 ? "wait" : "", "#/deliveries?status=pending"),
		tile("In flight", count(d.in_flight), `${count(stats.connections)} connections`),
		tile("Receipt to delivery", ms(now?.receipt_p50_ms ?? stats.latency_ms.receipt?.p50),
			`p99 ${ms(now?.receipt_p99_ms ?? stats.latency_ms.receipt?.p99)}`),
		tile("Dead letters", count(stats.dead_letters), `${count(d.dead)} since the start`, stats.dead_letters ? "bad" : "", "#/dead"),
		tile("Circuits not closed", count(circuits), `of ${count(stats.webhooks.count)} webhooks`, circuits ? "bad" : "",
			"#/webhooks?state=failing"),
		tile("Store", (used * 100).toFixed(used < 0.1 ? 1 : 0) + " %",
			`${bytes(store.used_bytes)}, disk free ${bytes(store.disk_free_bytes)}`, used > 0.8 ? "bad" : ""));
}

function worst(top) {
	return card("Webhooks that need a look", table("Webhooks, those that fail first",
		["Webhook", "Session", "State", "Waiting", "Failures", "Last answer"], top.map((w) => [
			h("a", {href: path`#/s/${w.session_id}/webhooks/${w.webhook_id}`}, brief(w.url, 60)),
			h("a", {href: path`#/s/${w.session_id}/webhooks`}, whose(w.session_id)),
			badge(w.state),
			w.waiting === undefined ? "–" : count(w.waiting),
			w.consecutive_failures ? [count(w.consecutive_failures), w.failing_since && [", since ", ago(w.failing_since)]] : "0",
			w.last_status === null && w.last_error === null ? "–"
				: [httpStatus(w.last_status), w.last_error && [" ", brief(w.last_error, 60)]],
		]), "No webhook fails, and nothing waits."));
}

/* As a row of the worst, of a webhook of a list. */
const asWorst = ({circuit, last_attempt: last, ...w}) => ({...w, webhook_id: w.id,
	consecutive_failures: circuit.consecutive_failures, failing_since: circuit.failing_since,
	last_status: last?.status ?? null, last_error: last?.error ?? null});

/* What a token of some sessions sees: their sums, and those of their webhooks that fail. */
async function ofSome(view) {
	const body = h("div", {class: "stack"});
	const draw = async () => {
		const {sessions, next_cursor: more} = await get("/sessions?limit=200", view.signal);
		const sum = (key) => sessions.reduce((n, s) => n + s[key], 0);
		const failing = sum("failing");
		const bad = [];
		await each(sessions.filter((s) => s.failing).slice(0, 10), async (s) => {
			const hooks = await all(hooksPath(s.id), "webhooks", view.signal);
			bad.push(...hooks.filter((w) => w.state === "failing").map(asWorst));
		});
		if (sessions.length === 1)
			store.session = sessions[0].id;
		const own = sessions.length === 1 ? path`#/s/${sessions[0].id}/webhooks` : "#/sessions";
		swap(body, h("dl", {class: "tiles"},
			tile("Sessions", count(sessions.length) + (more ? " or more" : ""), "", "", "#/sessions"),
			tile("Webhooks", count(sum("webhooks")), "", "", own),
			tile("Failing", count(failing), "", failing ? "bad" : "", own + (sessions.length === 1 ? "?state=failing" : "")),
			tile("Waiting", count(sum("waiting")), "", "", "#/deliveries?status=pending"),
			tile("Dead letters", count(sum("dead_letters")), "", sum("dead_letters") ? "bad" : "", "#/dead")),
		worst(bad.slice(0, 20)));
	};
	await draw();
	view.draw("Overview", h("h1", {tabindex: "-1"}, "Overview"), body);
	view.every(5000, draw);
}

/* The members of a cluster; nothing for an instance of its own. */
function members(cluster) {
	if (cluster.role === "single")
		return null;
	return card(`Cluster, shard ${cluster.shard}, epoch ${cluster.epoch}`, table("Members of the cluster",
		["Member", "Role", "Behind", "Told", "API"], cluster.members.map((m) => [
			m.member, badge(m.role), count(m.behind), m.told_at && ago(m.told_at), m.url,
		]), "No member has told of itself yet."));
}

export async function overview(view) {
	let stats;
	let cluster;
	try {
		cluster = await get("/cluster", view.signal);
		stats = await get("/stats?top=20", view.signal);
	} catch (error) {
		if (error.status === 403)
			return ofSome(view);
		throw error;
	}
	const body = h("div", {class: "stack"});
	const line = h("p", {class: "note"});
	const draw = () => {
		line.textContent = `waybill ${stats.version}, up ${span(stats.uptime_seconds)}`;
		swap(body, tiles(stats), members(cluster), charts(stats.history), worst(stats.top));
	};
	draw();
	view.draw("Overview", h("div", {class: "head"}, h("h1", {tabindex: "-1"}, "Overview"), line), body);
	view.every(5000, async () => {
		stats = await get("/stats?top=20", view.signal);
		if (cluster.role !== "single")
			cluster = await get("/cluster", view.signal);
		if (!body.contains(document.activeElement?.closest(".plot")))
			draw();
	});
	return undefined;
}
