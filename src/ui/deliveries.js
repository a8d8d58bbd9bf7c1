/* The deliveries of a session, or of all, newest first, by status, webhook, event and time. */
import {ALL, page, path} from "./api.js";
import {badge, brief, button, card, h, swap, table, whose} from "./dom.js";
import {sessionBar} from "./sessions.js";
import {DELIVERY_HEADS, deliveryRow} from "./webhook.js";

export async function deliveries(view) {
	const session = view.params.s;
	const chosen = (name) => view.search.get(name) ?? "";
	const select = (id, options) => h("select", {id, onchange: () => load(true)},
		options.map(([value, name]) => h("option", {value, selected: chosen(id) === value}, name)));
	const status = select("status", [["", "any status"], ...["pending", "delivered", "dead", "expired", "cancelled"].map((s) => [s, s])]);
	const since = select("since", [["", "of all time"], ["900", "of 15 minutes"], ["3600", "of an hour"], ["86400", "of a day"]]);
	const event = h("input", {id: "event", value: chosen("event"), placeholder: "any event", autocomplete: "off",
		spellcheck: "false", onchange: () => load(true), size: 14});
	const webhook = h("input", {id: "webhook", value: chosen("webhook"), placeholder: "any webhook", autocomplete: "off",
		spellcheck: "false", onchange: () => load(true), size: 20});
	const box = h("div", {class: "stack"});
	let rows = [];
	let cursor = null;
	let asked = 0; // only the last question's answer counts

	const load = async (anew) => {
		const mine = ++asked;
		if (anew) {
			cursor = null;
			rows = [];
			view.remember({status: status.value, since: since.value, event: event.value, webhook: webhook.value});
		}
		const answer = await page(session ? path`/sessions/${session}/deliveries` : "/deliveries", {
			status: status.value, event: event.value.trim(), webhook_id: webhook.value.trim(), event_id: chosen("event_id"),
			since: since.value && Math.floor(Date.now() / 1000) - Number(since.value), limit: 50, cursor,
		}, "deliveries", view.signal);
		if (mine !== asked)
			return;
		cursor = answer.cursor;
		rows.push(...answer.items);
		const heads = [...DELIVERY_HEADS];
		heads.splice(2, 0, ...(session ? [] : ["Session"]), "Webhook");
		swap(box, table("Deliveries", heads, rows.map((d) => {
			const cells = deliveryRow(d);
			cells.splice(2, 0, ...(session ? [] : [h("a", {href: path`#/s/${d.session_id}/deliveries`}, brief(d.session_id, 30))]), d.webhook_id
				? h("a", {href: path`#/s/${d.session_id}/webhooks/${d.webhook_id}`}, brief(d.url ?? d.webhook_id, 40)) : "gone");
			return cells;
		}), cursor ? "None among the newest; older ones may fit." : "No delivery fits."),
			cursor && button(rows.length ? "Load more" : "Look further back", () => load(false), "more", {"data-k": "more"}));
	};
	await load(false);
	view.draw("Deliveries", h("h1", {tabindex: "-1"}, "Deliveries of ", whose(session ?? ALL)),
		sessionBar(view, "deliveries"),
		card(null, h("form", {class: "bar", onsubmit: (e) => { e.preventDefault(); load(true); }},
			h("label", {for: "status", class: "sr"}, "Status"), status,
			h("label", {for: "since", class: "sr"}, "Time"), since,
			h("label", {for: "event", class: "sr"}, "Event"), event,
			h("label", {for: "webhook", class: "sr"}, "Webhook's id"), webhook,
			h("button", null, "Show"),
			chosen("event_id") && h("span", {class: "note"}, "of event ", badge("published", chosen("event_id")))), box));
}
