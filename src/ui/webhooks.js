/* The webhooks of a session: found, paged, and with what their receivers said last. */
import {ALL, all as allOf, each, get, hooksPath, path} from "./api.js";
import {badge, brief, button, card, count, data, h, httpStatus, ago, swap, table, whose} from "./dom.js";
import {editWebhook} from "./form.js";
import {sessionBar} from "./sessions.js";

const PAGE = 25;

export function stateOf(w) {
	if (!w.enabled)
		return "disabled";
	if (w.ownership?.state === "pending")
		return "pending";
	if (w.circuit.state !== "closed")
		return w.circuit.state;
	return w.circuit.consecutive_failures > 0 ? "failing" : "closed";
}

const STATE_TEXTS = {closed: "ok", open: "circuit open", half_open: "probing", failing: "failing", disabled: "disabled", pending: "is asked first"};
export const stateBadge = (w) => badge(stateOf(w), STATE_TEXTS[stateOf(w)]);

/* The last answer of a delivery: its status, or why there was none. */
export function lastAnswer(d) {
	const attempt = d?.attempts?.at(-1);
	if (!attempt)
		return "–";
	return h("span", null, httpStatus(attempt.status), " ",
		attempt.status === null && attempt.error ? [brief(attempt.error, 60), " "] : null,
		h("span", {class: "note"}, ago(attempt.at)));
}

export async function webhooks(view) {
	const session = view.params.s;
	const answers = new Map(); // webhook's id to its last answer, of this visit
	const box = h("div", {class: "stack"});
	const found = h("p", {class: "note", role: "status"});
	let all = [];
	let from = Number(view.search.get("from")) || 0;
	let asked = new AbortController();

	const text = h("input", {id: "filter", type: "search", value: view.search.get("q") ?? "", autocomplete: "off",
		spellcheck: "false", placeholder: "URL, id, event, description"});
	const state = h("select", {id: "state"}, [["", "any state"], ["closed", "ok"], ["failing", "failing"],
		["open", "circuit open"], ["half_open", "probing"], ["disabled", "disabled"]].map(([value, name]) =>
		h("option", {value, selected: view.search.get("state") === value}, name)));

	const matching = () => {
		const want = text.value.trim().toLowerCase();
		return all.filter((w) => (!state.value || stateOf(w) === state.value) && (!want ||
			w.url.toLowerCase().includes(want) || w.id.startsWith(want) ||
			w.events.some((name) => name.includes(want)) || w.description?.toLowerCase().includes(want)));
	};

	const askAnswers = (shown) => {
		if (session === ALL)
			return; // they are with each session's deliveries
		asked.abort();
		asked = new AbortController();
		const signal = AbortSignal.any([asked.signal, view.signal]);
		each(shown.filter((w) => !answers.has(w.id)), async (w) => {
			const list = await get(path`/sessions/${session}/deliveries` + `?webhook_id=${w.id}&limit=1`, signal);
			answers.set(w.id, list.deliveries[0] ?? null);
			document.getElementById("answer-" + w.id)?.replaceChildren(lastAnswer(list.deliveries[0]));
		}, 3).catch((error) => {
			if (!signal.aborted)
				throw error;
		});
	};

	const draw = () => {
		const fits = matching();
		from = Math.max(0, Math.min(from, Math.floor((fits.length - 1) / PAGE) * PAGE));
		const shown = fits.slice(from, from + PAGE);
		view.remember({q: text.value, state: state.value, from: from || ""});
		found.textContent = fits.length === all.length ? `${count(all.length)} webhooks`
			: `${count(fits.length)} of ${count(all.length)} webhooks`;
		const turn = (to) => () => { from = to; draw(); };
		swap(box,
			table("Webhooks of the session", ["Webhook", "State", "Events", "In flight", "Last answer"], shown.map((w) => [
				[h("a", {href: path`#/s/${session}/webhooks/${w.id}`}, brief(w.url, 72)),
					w.description && h("span", {class: "note under"}, brief(w.description, 72))],
				stateBadge(w), brief(w.events.join(", "), 40), count(w.in_flight),
				h("span", {id: "answer-" + w.id}, answers.has(w.id) ? lastAnswer(answers.get(w.id)) : session === ALL ? "–" : "…"),
			]), all.length ? "No webhook fits." : session === ALL
				? "There is no webhook for all sessions." : "This session has no webhook yet. Register one to receive its events."),
			fits.length > PAGE && h("p", {class: "pages"},
				button("Previous", turn(from - PAGE), "", {"data-k": "prev", disabled: from === 0}),
				h("span", null, `${count(from + 1)}–${count(from + shown.length)} of ${count(fits.length)}`),
				button("Next", turn(from + PAGE), "", {"data-k": "next", disabled: from + PAGE >= fits.length})));
		askAnswers(shown);
	};

	const load = async () => {
		all = await allOf(hooksPath(session), "webhooks", view.signal);
		answers.clear();
		draw();
	};
	const filter = () => { from = 0; draw(); };
	text.addEventListener("input", filter);
	state.addEventListener("change", filter);
	await load();
	view.draw("Webhooks",
		h("div", {class: "head"}, h("h1", {tabindex: "-1"}, "Webhooks of ", whose(session)),
			button("Register a webhook", async () => {
				const made = await editWebhook(session, null);
				if (made)
					location.hash = path`#/s/${session}/webhooks/${made.id}`;
			}, "primary", {"data-k": "register"})),
		sessionBar(view, "webhooks"),
		card(null, h("form", {class: "bar", onsubmit: (event) => event.preventDefault()},
			h("label", {for: "filter"}, "Filter"), text, h("label", {for: "state", class: "sr"}, "State"), state,
			button("Refresh", load), found), box));
	if (all.length <= 200)
		view.every(10000, load);
}
