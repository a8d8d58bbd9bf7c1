/* The webhooks of a session: found, paged, and with what their receivers said last; those of all. */
import {ALL, all as allOf, hooksPath, page, path} from "./api.js";
import {action, badge, brief, button, card, count, data, h, httpStatus, ago, swap, table, whose} from "./dom.js";
import {editWebhook} from "./form.js";
import {linkBar} from "./links.js";
import {sessionBar, sessions} from "./sessions.js";

const PAGE = 25;

const CIRCUITS = {open: "circuit open", half_open: "probing"};

/* How it does, in a word of the server's, and its circuit's where that is why. */
export const stateBadge = (w) => badge(w.state, w.state === "failing" ? CIRCUITS[w.circuit.state] : undefined);

const STATES = [["", "any state"], ["ok", "ok"], ["failing", "failing"], ["held", "held"], ["off", "off"]];
const stateSelect = (view, onchange) => h("select", {id: "state", onchange},
	STATES.map(([value, name]) => h("option", {value, selected: view.search.get("state") === value}, name)));

/* How an attempt went, in a line: its status, or why no answer came. */
function attemptLine(attempt) {
	if (!attempt)
		return "–";
	return h("span", null, httpStatus(attempt.status), " ",
		attempt.status === null && attempt.error ? [brief(attempt.error, 60), " "] : null,
		h("span", {class: "note"}, ago(attempt.at)));
}

export const lastAnswer = (d) => attemptLine(d?.attempts?.at(-1)); // of a delivery

/* What holds a delivery, and until when; null: nothing does. When it is tried next. */
export const held = (d) => d.held_reason && h("span", {class: "why"}, "held: ", brief(d.held_reason, 80),
	d.held_until && [", next try ", ago(d.held_until)]);
export const nextTry = (d) => d.status !== "pending" ? "–" : d.in_flight ? "under way" : held(d) ?? ago(d.next_attempt_at);

export const lastAttempt = (w) => attemptLine(w.last_attempt); // of a webhook

/* The webhooks of all sessions, by how they do. */
export async function allWebhooks(view) {
	const box = h("div", {class: "stack"});
	const state = stateSelect(view, () => load(true));
	let rows = [];
	let cursor = null;
	const load = async (anew) => {
		if (anew) {
			rows = [];
			cursor = null;
			view.remember({state: state.value});
		}
		const answer = await page("/webhooks/all", {state: state.value, limit: 50, cursor}, "webhooks", view.signal);
		cursor = answer.cursor;
		rows.push(...answer.items);
		swap(box,
			table("Webhooks of all sessions", ["Webhook", "Session", "State", "Events", "In flight", "Last attempt"], rows.map((w) => [
				[h("a", {href: path`#/s/${w.session_id}/webhooks/${w.id}`}, brief(w.url, 60)),
					w.description && h("span", {class: "note under"}, brief(w.description, 72))],
				h("a", {href: path`#/s/${w.session_id}/webhooks`}, whose(w.session_id)),
				stateBadge(w), brief(w.events.join(", "), 40), count(w.in_flight),
				lastAttempt(w),
			]), cursor ? "None among the first; later ones may fit." : "No webhook fits."),
			cursor && button(rows.length ? "Load more" : "Look further", () => load(false), "more", {"data-k": "more"}));
	};
	try {
		await load(false);
	} catch (error) {
		if (error.status === 403)
			return sessions(view); // a token of some sessions: each has its own
		throw error;
	}
	return view.draw("Webhooks", h("h1", {tabindex: "-1"}, "Webhooks"), sessionBar(view, "webhooks"),
		card(null, h("form", {class: "bar", onsubmit: (event) => event.preventDefault()},
			h("label", {for: "state"}, "State"), state, button("Refresh", () => load(true))), box),
		h("p", null, h("a", {href: path`#/s/${ALL}/webhooks`}, "Webhooks for all sessions")));
}

export async function webhooks(view) {
	const session = view.params.s;
	const box = h("div", {class: "stack"});
	const found = h("p", {class: "note", role: "status"});
	let all = [];
	let from = Number(view.search.get("from")) || 0;

	const text = h("input", {id: "filter", type: "search", value: view.search.get("q") ?? "", autocomplete: "off",
		spellcheck: "false", placeholder: "URL, id, event, description"});
	const state = stateSelect(view, () => filter());

	const matching = () => {
		const want = text.value.trim().toLowerCase();
		return all.filter((w) => (!state.value || w.state === state.value) && (!want ||
			w.url.toLowerCase().includes(want) || w.id.startsWith(want) ||
			w.events.some((name) => name.includes(want)) || w.description?.toLowerCase().includes(want)));
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
			table("Webhooks of the session", ["Webhook", "State", "Events", "In flight", "Last attempt"], shown.map((w) => [
				[h("a", {href: path`#/s/${session}/webhooks/${w.id}`}, brief(w.url, 72)),
					w.description && h("span", {class: "note under"}, brief(w.description, 72))],
				stateBadge(w), brief(w.events.join(", "), 40), count(w.in_flight),
				lastAttempt(w),
			]), all.length ? "No webhook fits." : session === ALL
				? "There is no webhook for all sessions." : ["This session has no webhook yet.", h("span", {"data-needs": "change"}, " Register one to receive its events.")]),
			fits.length > PAGE && h("p", {class: "pages"},
				button("Previous", turn(from - PAGE), "", {"data-k": "prev", disabled: from === 0}),
				h("span", null, `${count(from + 1)}–${count(from + shown.length)} of ${count(fits.length)}`),
				button("Next", turn(from + PAGE), "", {"data-k": "next", disabled: from + PAGE >= fits.length})));
	};

	const load = async () => {
		all = await allOf(hooksPath(session), "webhooks", view.signal);
		draw();
	};
	const filter = () => { from = 0; draw(); };
	text.addEventListener("input", filter);
	await load();
	view.draw("Webhooks",
		h("div", {class: "head"}, h("h1", {tabindex: "-1"}, "Webhooks of ", whose(session)),
			h("span", {class: "links"}, session !== ALL && linkBar(session), action("Register a webhook", async () => {
				const made = await editWebhook(session, null);
				if (made)
					location.hash = path`#/s/${session}/webhooks/${made.id}`;
			}, "primary", {"data-k": "register"}))),
		sessionBar(view, "webhooks"),
		card(null, h("form", {class: "bar", onsubmit: (event) => event.preventDefault()},
			h("label", {for: "filter"}, "Filter"), text, h("label", {for: "state", class: "sr"}, "State"), state,
			button("Refresh", load), found), box));
	if (all.length <= 200)
		view.every(10000, load);
}
