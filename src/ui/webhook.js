/* One webhook: how it does, what was said last, and all that can be done with it. */
import {ALL, call, get, hooksPath, path, post} from "./api.js";
import {action, ago, badge, brief, button, card, confirm, dialog, count, data, facts, h, ms, mono, say, shortId, swap, table, when, whose} from "./dom.js";
import {chart} from "./chart.js";
import {attemptBox} from "./delivery.js";
import {editWebhook, replayPast, rotateSecret} from "./form.js";
import {held, lastAnswer, lastAttempt, nextTry, stateBadge} from "./webhooks.js";

/* What the list of its deliveries shows, also in deliveries.js. */
export const deliveryRow = (d) => [
	h("a", {href: path`#/s/${d.session_id}/deliveries/${d.id}`}, when(d.created_at, true)),
	data(d.event), badge(d.status), count(d.attempt_count), lastAnswer(d),
	nextTry(d),
];

/* Asks how to disable; the query of the call, or null. */
const askDisable = () => new Promise((resolve) => {
	let query = null;
	const choose = (text, cls, value, key) => button(text, () => { query = value; box.close(); }, cls, {"data-k": key});
	const box = dialog("Disable the webhook?",
		h("p", null, "Nothing is sent to it until it is enabled; what waits for it stays. And what is published meanwhile?"),
		h("p", {class: "actions"},
			choose("Queue it", "primary", "?keep_queueing=true", "keep"),
			choose("Do not queue it", "danger", "?keep_queueing=false", "drop"),
			button("Leave it enabled", () => box.close())),
		h("p", {class: "note"}, "Queued, it counts for the session's limit, and is sent once the webhook is enabled. Else this webhook never gets it."));
	box.addEventListener("close", () => resolve(query));
});

export const DELIVERY_HEADS = ["Made", "Event", "Status", "Attempts", "Last answer", "Next"];

/* The outcomes of attempts, as last_outcomes has them. */
const KINDS = ["no answer", "does not count", "taken", "3xx", "4xx", "5xx"];

/* How its attempts went: the last hundred one by one, and a week by hours. */
function past(stats) {
	const hours = stats.hours;
	const last = stats.last_outcomes;
	if (last.length === 0)
		return null;
	const times = hours.map((hour) => Date.parse(hour.at));
	const good = last.filter((digit) => digit === 2).length;
	const percent = stats.success_rate === null ? "–" : `${(stats.success_rate * 100).toFixed(1)} %`;
	return card("A week",
		h("p", null, `${percent} of ${count(stats.succeeded + stats.failed)} attempts succeeded. Of the last ${count(last.length)}: ${count(good)}.`),
		h("p", {class: "outcomes", "aria-hidden": "true"}, last.map((digit) =>
			h("span", {class: digit === 2 ? "good" : "bad", title: KINDS[digit]}))),
		hours.length > 1 && h("div", {class: "charts"},
			chart("Attempts an hour", "week", times, [
				{name: "succeeded", cls: "c2", values: hours.map((hour) => hour.succeeded), area: true},
				{name: "failed", cls: "c3", values: hours.map((hour) => hour.failed)},
			], count),
			chart("Time of answers", "answers", times, [
				{name: "p50", cls: "c2", values: hours.map((hour) => hour.p50_ms)},
				{name: "p95", cls: "c4", values: hours.map((hour) => hour.p95_ms)},
			], ms)));
}

export async function webhook(view) {
	const {s: session, id} = view.params;
	const at = `${hooksPath(session)}/${id}`;
	const title = h("h1", {tabindex: "-1"});
	const head = h("div", {class: "stack"});
	const result = h("div", {class: "stack", "aria-live": "polite"});
	const replay = h("div", {class: "stack"});
	const recent = h("div");
	const week = h("div", {class: "stack"});
	let w;

	const change = async (verb, text) => {
		await post(`${at}/${verb}`);
		say(text);
		await load();
	};

	const disable = async () => {
		const query = await askDisable();
		if (query === null)
			return;
		await post(`${at}/disable${query}`);
		say(query.endsWith("true") ? "The webhook is disabled; what is published is queued." : "The webhook is disabled; its queue waits.");
		await load();
	};
	const tryNow = async () => {
		const answer = await post(`${at}/try`);
		say(answer.message + (answer.held_reason ? ". Held: " + answer.held_reason : "."));
		await load();
		view.every(500, async () => { // until the probe has come to its end
			await load();
			return w.circuit.state === "half_open";
		});
	};

	/* Sends a test and tells how its first attempt went. */
	const test = async () => {
		swap(result, card("Test", h("p", null, "Sending…")));
		const sent = await post(`${at}/test`);
		if (sent.held_reason)
			swap(result, card("Test", h("p", null, "It is queued. ", held(sent))));
		const follow = async () => {
			const event = await get(path`/events/${sent.id}`, view.signal);
			const d = event.deliveries[0];
			if (d && d.status === "pending" && d.attempts.length === 0) {
				swap(result, card("Test", h("p", null, held(d) ?? "Sending…")));
				return true;
			}
			swap(result, card("Test",
				h("p", null, "Event ", h("a", {href: path`#/events/${sent.id}`}, shortId(sent.id)), ": ", d ? badge(d.status) : "no delivery",
					d?.status === "pending" && [", next attempt ", ago(d.next_attempt_at)]),
				d?.attempts.length ? attemptBox(d.attempts.at(-1)) : null,
				d && session !== ALL && h("p", {class: "actions"}, h("a", {class: "button", "data-k": "test-delivery",
					href: path`#/s/${session}/deliveries/${d.id}`}, "Open the delivery"))));
			await load();
			return false;
		};
		if (await follow())
			view.every(500, follow);
	};

	const followReplay = async () => {
		let answer;
		try {
			answer = (await get(`${at}/replay`, view.signal)).replay;
		} catch (error) {
			if (error.status === 404)
				return false;
			throw error;
		}
		const running = answer.state === "running";
		swap(replay, card("Replay", h("p", {role: "status"}, badge(answer.state), ` ${count(answer.scheduled)} scheduled of ` +
			`${count(answer.looked_at)} looked at, since `, when(answer.since), ", ", data(answer.status)),
			running && action("Cancel the replay", async () => {
				await call("DELETE", `${at}/replay`);
				await followReplay();
			}, "", {"data-k": "cancel-replay"})));
		return running;
	};

	const draw = (list) => {
		const c = w.circuit;
		title.replaceChildren(brief(w.url, 200));
		swap(head,
			w.disabled_reason && h("p", {class: "banner bad"}, "Disabled: ", data(w.disabled_reason), w.keep_queueing
				? ". What is published is queued for it." : ". What is published is not queued for it."),
			w.enabled && c.state !== "closed" && h("div", {class: "banner bad"},
				h("p", null, "It fails: ", lastAttempt(w), `. After ${count(c.consecutive_failures)} failures nothing `,
					"is sent but a probe, ", c.state === "open" ? ["the next ", ago(c.next_probe_at)] : "which is under way",
					". What is due waits on disk."),
				h("p", {class: "actions"}, action("Try now", tryNow, "", {"data-k": "try", disabled: c.state === "half_open"}))),
			card(null, h("p", {class: "actions", "data-needs": "change"},
				button("Send a test", test, "primary", {"data-k": "test", disabled: !w.enabled}),
				button("Change", async () => (await editWebhook(session, w)) && load(), "", {"data-k": "edit"}),
				w.enabled ? button("Disable…", disable, "", {"data-k": "toggle"})
					: button("Enable", () => change("enable", "The webhook is enabled; its queue is due at once."), "", {"data-k": "toggle"}),
				w.ownership && button("Ask it again", () => change("verify", "Its endpoint is asked; its queue waits."), "", {"data-k": "verify"}),
				button("Replay…", async () => (await replayPast(session, id)) && await followReplay() && view.every(1000, followReplay), "", {"data-k": "replay"}),
				button("New secret", async () => { await rotateSecret(session, id); await load(); }, "", {"data-k": "rotate"}),
				button("Delete", remove, "danger", {"data-k": "delete"})),
			facts([
				["State", stateBadge(w)],
				["Last attempt", lastAttempt(w)],
				w.ownership && ["Endpoint", [badge({pending: "pending", verified: "delivered", failed: "failing"}[w.ownership.state], w.ownership.state),
					" ", ago(w.ownership.since), w.ownership.error && [": ", data(w.ownership.error)], `, asked by ${w.verify.toUpperCase()}`]],
				w.held_reason && ["Held", badge("failing", w.held_reason)],
				["Failures in a row", [count(c.consecutive_failures), c.failing_since && [", since ", ago(c.failing_since)]]],
				["In flight", `${count(w.in_flight)} of ${count(w.max_in_flight)}`],
				["Events", data(w.events.join(", "))],
				w.filter && ["Filter", mono(JSON.stringify(w.filter))],
				w.payload !== "envelope" && ["Body", w.payload],
				["Signed", w.secret || w.public_key ? [w.signature].flat().join(", ") : "no secret"],
				w.public_key && ["Public key", mono(w.public_key)],
				w.previous_public_key && ["Until", [when(w.previous_key_expires_at), " also ", mono(w.previous_public_key)]],
				["Time-out", ms(w.timeout_ms)],
				["Order", w.ordering.key === undefined ? w.ordering : data(`within ${w.ordering.key}`)],
				w.success && ["Success", mono(JSON.stringify(w.success))],
				w.fallback_url && ["Fallback", [data(w.fallback_url), c.state !== "closed" && [" ", badge("failing", "in use")]]],
				w.rate_limit !== null && ["At most", `${w.rate_limit}/s`],
				w.retry && ["Waits", w.retry.join(", ")],
				!w.tls_verify && ["Certificate", badge("failing", "not checked")],
				w.client_cert_expires_at && ["Own certificate", badge(new Date(w.client_cert_expires_at) - Date.now() < 30 * 86400e3
					? "failing" : "delivered", "expires " + w.client_cert_expires_at.slice(0, 10))],
				w.proxy !== "default" && ["Proxy", data([w.proxy, ...w.no_proxy.map((host) => "not " + host)].join(", "))],
				w.user_agent && ["User-Agent", data(w.user_agent)],
				w.http_version !== "1.1" && ["HTTP", w.http_version],
				w.content_encoding !== "identity" && ["Bodies are sent", w.content_encoding],
				w.auth && ["Shows itself by", data(w.auth.type)],
				Object.keys(w.headers).length > 0 && ["Headers", brief(Object.keys(w.headers).join(", "), 100)],
				w.description && ["Description", data(w.description)],
				w.name && ["Name", data(w.name)],
				["Registered", when(w.created_at)],
				["Id", mono(w.id)],
			])));
		swap(recent, table("Its last deliveries", DELIVERY_HEADS, list.map(deliveryRow),
			"Nothing was sent to it yet."));
	};

	const load = async () => {
		w = await get(at, view.signal);
		if (session === ALL)
			return draw([]);
		const fails = w.state === "failing"; // then those that were tried, which say why, come first
		const {deliveries} = await get(path`/sessions/${session}/deliveries` + `?webhook_id=${id}&limit=${fails ? 100 : 10}`, view.signal);
		if (fails)
			deliveries.sort((a, b) => (b.attempt_count > 0) - (a.attempt_count > 0));
		return draw(deliveries.slice(0, 10));
	};

	const remove = async () => {
		if (!await confirm("Delete the webhook?", "What waits for it is dropped. Its dead letters stay listed, but cannot be replayed.", "Delete"))
			return;
		await call("DELETE", at);
		say("The webhook is deleted.");
		location.hash = path`#/s/${session}/webhooks`;
	};

	try {
		await load();
	} catch (error) { // a delivery's webhook may be one for all sessions
		if (error.status !== 404 || session === ALL || !await get(`${hooksPath(ALL)}/${id}`, view.signal).catch(() => null))
			throw error;
		return location.replace(path`#/s/${ALL}/webhooks/${id}`);
	}
	view.draw("Webhook", h("p", {class: "crumbs"}, h("a", {href: path`#/s/${session}/webhooks`}, "Webhooks of ", whose(session))),
		title, head, result, replay, week,
		session === ALL
			? card("Last answers", h("p", null, "They are shown with the deliveries of each session."), h("p", {class: "links"},
				h("a", {href: path`#/s/${session}/dead` + `?webhook=${id}`}, "Its dead letters"),
				h("a", {href: `#/tail?webhook=${id}`}, "Live tail")))
			: card("Last answers", recent, h("p", {class: "links"},
				h("a", {href: path`#/s/${session}/deliveries` + `?webhook=${id}`}, "All its deliveries"),
				h("a", {href: path`#/s/${session}/dead` + `?webhook=${id}`}, "Its dead letters"),
				h("a", {href: `#/tail?session=${encodeURIComponent(session)}&webhook=${id}`}, "Live tail"))));
	const loadWeek = async () => swap(week, past(await get(`${at}/stats`, view.signal)));
	await loadWeek();
	view.every(30000, loadWeek);
	if (await followReplay())
		view.every(1000, followReplay);
	view.every(4000, load);
}
