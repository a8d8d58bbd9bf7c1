/* What happens, as it happens. A bounded number of lines is kept, the newest on top. */
import {path, query, stream} from "./api.js";
import {badge, brief, button, card, data, h, ms, when} from "./dom.js";

const LINES = 500;
const TYPES = ["published", "delivered", "retrying", "dead", "expired", "cancelled", "disabled"];

function line(type, e) {
	const target = e.delivery_id ? path`#/s/${e.session_id}/deliveries/${e.delivery_id}`
		: e.event_id ? path`#/s/${e.session_id}/events/${e.event_id}`
			: e.webhook_id ? path`#/s/${e.session_id}/webhooks/${e.webhook_id}` : null;
	return h("li", null, when(e.at, true), badge(type), h("span", {class: "what"},
		target ? h("a", {href: target}, data(e.event ?? type)) : data(e.event ?? type), " ", data(e.session_id ?? "", "data note")),
		h("span", {class: "where"}, e.url && brief(e.url, 60),
			e.attempt && ` #${e.attempt}`, e.status ? ` → ${e.status}` : "", e.duration_ms !== undefined && `, ${ms(e.duration_ms)}`,
			e.error && h("span", {class: "why"}, brief(e.error, 160)),
			e.next_attempt_at && h("span", {class: "note"}, " again at ", when(e.next_attempt_at))));
}

export async function tail(view) {
	const wanted = (name) => view.search.get(name) ?? "";
	const list = h("ol", {class: "tail", "aria-label": "Events, the newest first", tabindex: "0"});
	const state = h("span", {class: "note", role: "status"}, "connecting…");
	const session = h("input", {id: "session", value: wanted("session"), placeholder: "all sessions", autocomplete: "off", spellcheck: "false", size: 14});
	const webhook = h("input", {id: "webhook", value: wanted("webhook"), placeholder: "all webhooks", autocomplete: "off", spellcheck: "false", size: 20});
	const status = h("select", {id: "status"}, h("option", {value: ""}, "all that happens"),
		TYPES.map((value) => h("option", {value, selected: wanted("status") === value}, value)));
	let waiting = []; // came while it was paused, or since the last frame
	let paused = false;
	let framed = false;
	let running = null;

	const flush = () => {
		framed = false;
		if (paused)
			return;
		list.prepend(...waiting.reverse().map((make) => make()));
		waiting = [];
		while (list.children.length > LINES)
			list.lastChild.remove();
	};
	/* Lines are drawn once a frame, however many come. */
	const add = (make) => {
		waiting.push(make);
		if (waiting.length > LINES)
			waiting.shift();
		if (!framed && !paused) {
			framed = true;
			requestAnimationFrame(flush);
		}
		if (paused)
			pause.textContent = `Go on (${waiting.length}${waiting.length === LINES ? "+" : ""})`;
	};
	const pause = button("Pause", () => {
		paused = !paused;
		pause.textContent = paused ? "Go on" : "Pause";
		pause.setAttribute("aria-pressed", paused);
		flush();
	}, "", {"aria-pressed": "false"});

	const start = () => {
		running?.abort();
		running = new AbortController();
		const params = {session_id: session.value, webhook_id: webhook.value.trim(), status: status.value};
		view.remember({session: params.session_id, webhook: params.webhook_id, status: params.status});
		state.textContent = "connecting…";
		stream("/events/stream" + query(params), {
			state: (connected, why) => { state.textContent = connected ? "live" : `not connected: ${why}`; },
			event: (type, text) => {
				const e = JSON.parse(text);
				if (type === "gap")
					add(() => h("li", {class: "gap"}, e.dropped ? `${e.dropped} were too many and are left out here` : "Some are missing here"));
				else
					add(() => line(type, e));
			},
		}, AbortSignal.any([running.signal, view.signal]));
	};
	view.draw("Live tail", h("h1", {tabindex: "-1"}, "Live tail"),
		card(null, h("form", {class: "bar", onsubmit: (event) => { event.preventDefault(); start(); }},
			h("label", {for: "session", class: "sr"}, "Session"), session,
			h("label", {for: "webhook", class: "sr"}, "Webhook's id"), webhook,
			h("label", {for: "status", class: "sr"}, "What"), status,
			h("button", null, "Follow"), pause, button("Clear", () => { list.replaceChildren(); waiting = []; }), state),
			list));
	status.addEventListener("change", start);
	start();
}
