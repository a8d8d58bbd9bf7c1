/* The sessions, and the way to one of them. */
import {ALL, SESSION_ALLOWED, get, isSession, page, path, query} from "./api.js";
import {badge, button, card, count, data, h, swap, table} from "./dom.js";

const SECTIONS = [["webhooks", "Webhooks"], ["deliveries", "Deliveries"], ["dead", "Dead letters"]];

/* The line above all that belongs to one session: which one, and where to go from it. */
export function sessionBar(view, section) {
	const session = view.params.s ?? "";
	const input = h("input", {id: "session", value: session, required: true, list: "sessions", dir: "auto",
		autocomplete: "off", spellcheck: "false"});
	input.addEventListener("input", () => input.setCustomValidity(isSession(input.value) ? "" : SESSION_ALLOWED));
	const list = h("datalist", {id: "sessions"});
	input.addEventListener("focus", async () => {
		if (list.children.length)
			return;
		const {sessions} = await get("/sessions?limit=200", view.signal);
		list.replaceChildren(...sessions.map((s) => h("option", {value: s.id})));
	});
	return h("form", {class: "bar", onsubmit: (event) => {
		event.preventDefault();
		location.hash = path`#/s/${input.value}/` + section;
	}}, h("label", {for: "session"}, "Session"), input, list, h("button", null, "Go"),
		session && h("span", {class: "links"}, SECTIONS.filter(([name]) => name !== section).map(([name, text]) =>
			h("a", {href: path`#/s/${session}/` + name}, "Its " + text.toLowerCase())),
			h("a", {href: `#/${section}`}, SECTIONS.find(([name]) => name === section)[1] + " of all")));
}

export async function sessions(view) {
	const rows = [];
	const box = h("div", {"aria-live": "off"});
	let cursor;
	const more = async () => {
		const answer = await page("/sessions", {limit: 100, cursor}, "sessions", view.signal);
		cursor = answer.cursor;
		rows.push(...answer.items);
		swap(box,
			table("Sessions", ["Session", "Webhooks", "Failing", "Waiting", "Dead letters", "More"], rows.map((s) => [
				h("a", {href: path`#/s/${s.id}/webhooks`}, data(s.id)), count(s.webhooks),
				s.failing ? h("a", {href: path`#/s/${s.id}/webhooks?state=failing`}, badge("failing", count(s.failing))) : "0",
				s.waiting ? h("b", null, count(s.waiting)) : "0",
				s.dead_letters ? h("a", {href: path`#/s/${s.id}/dead`}, count(s.dead_letters)) : "0",
				h("span", {class: "links"},
					h("a", {href: path`#/s/${s.id}/deliveries`}, "Deliveries"),
					h("a", {href: path`#/s/${s.id}/dead`}, "Dead letters"),
					h("a", {href: "#/tail" + query({session: s.id})}, "Tail")),
			]), "No session has webhooks or events yet."),
			cursor && button("Load more", more, "more", {"data-k": "more"}));
	};
	await more();
	view.draw("Sessions", h("h1", {tabindex: "-1"}, "Sessions"), sessionBar(view, "webhooks"), card(null, box),
		rows.length === 0 && h("p", {"data-needs": "change"}, "A session is one account or tenant, whatever the publisher calls it. It is there ",
			"as soon as a webhook is registered or an event published under it. Name one above to begin."),
		h("p", {"data-needs": "all"}, h("a", {href: path`#/s/${ALL}/webhooks`}, "Webhooks for all sessions")));
}
