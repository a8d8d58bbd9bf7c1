/* One delivery with its attempts, and one event with all that became of it. */
import {get, path, post} from "./api.js";
import {ago, badge, block, brief, button, card, count, data, dialog, facts, h, httpStatus, mono, ms, pretty, say, shortId, svg, swap, table, when} from "./dom.js";
import {held, lastAnswer, nextTry} from "./webhooks.js";

export const eventLink = (session, id) => h("a", {href: path`#/s/${session}/events/${id}`}, shortId(id));

const PHASES = [["dns_ms", "lookup"], ["connect_ms", "connect"], ["tls_ms", "TLS"], ["first_byte_ms", "wait"]];

/* Where the time of an attempt went, as a bar and in words. */
function phases(a) {
	const parts = PHASES.map(([key, name], i) => ({name, value: a[key] ?? 0, cls: "p" + i})).filter((p) => p.value > 0);
	const rest = a.duration_ms - parts.reduce((sum, p) => sum + p.value, 0);
	if (rest > 0)
		parts.push({name: "rest", value: rest, cls: "p4"});
	const whole = parts.reduce((sum, p) => sum + p.value, 0) || 1;
	let x = 0;
	return h("div", {class: "phases"},
		svg("svg", {viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true"}, parts.map((p) => {
			const width = p.value / whole * 100;
			x += width;
			return svg("rect", {class: p.cls, x: x - width, width, height: 4});
		})),
		h("p", {class: "note"}, parts.map((p) => h("span", {class: "key " + p.cls}, `${p.name} ${ms(p.value)}`))));
}

const headers = (title, list) => list && h("details", null, h("summary", null, `${title} (${list.length})`),
	h("dl", {class: "facts"}, list.map(({name, value}) =>
		h("div", null, h("dt", null, data(name)), h("dd", null, brief(value, 500, "mono"))))));

/* The protocols, in a line; "": nothing is known of them. */
function protocols(a) {
	const parts = [a.http_version && "HTTP/" + a.http_version, a.tls_version];
	if (a.certificate)
		parts.push(["certificate ", data(a.certificate.subject || "without a name"),
			a.certificate.expires_at && [" until ", when(a.certificate.expires_at)]]);
	const known = parts.filter(Boolean);
	return known.length > 0 && h("p", {class: "note"}, known.map((part, i) => [i > 0 && ", ", part]));
}

/* What an attempt has sent, as a command. */
async function showCommand(at, number) {
	const text = await get(`${at}/curl?attempt=${number}`);
	const box = dialog("As a command", h("p", {class: "note"},
		"For a shell. Asterisks stand for secrets: put them in yourself."),
	block(text, "The command", 16384),
	h("p", {class: "actions"},
		navigator.clipboard && button("Copy", async () => {
			await navigator.clipboard.writeText(text);
			say("It is in the clipboard.");
		}, "primary"),
		button("Close", () => box.close())));
}

/* Whether a secret that is pasted has signed the attempt, and what does not fit. */
function askSecret(at, number) {
	const secret = h("input", {type: "password", required: true, maxlength: 1024, autocomplete: "off", spellcheck: "false"});
	const body = h("textarea", {rows: 3, spellcheck: "false"});
	const said = h("div", {role: "status"});
	const form = h("form", {onsubmit: async (event) => {
		event.preventDefault();
		try {
			const v = await post(`${at}/verify-signature`, {attempt: number, secret: secret.value, ...(body.value && {body: body.value})});
			said.replaceChildren(h("p", {class: v.valid ? "" : "why"}, v.valid ? "It fits: " : `It does not fit (${v.fault}): `, v.message),
				h("ul", null, v.signatures.map((s) => h("li", null, badge(s.valid ? "ok" : "dead", s.valid ? "right" : "wrong"), " ", s.scheme, ", in ", mono(s.header)))));
		} catch (error) {
			said.replaceChildren(h("p", {class: "error"}, data(error.message)));
		}
	}},
	h("label", null, "Secret or public key", secret),
	h("label", null, "Body as it came there, if it may be another", body),
	said,
	h("p", {class: "actions"}, h("button", {class: "primary"}, "Verify"), button("Close", () => box.close())));
	const box = dialog(`The signatures of attempt ${number}`, form);
}

/* An attempt: when, where to, how long, and what they said. `at`: its delivery's path, to ask more. */
export function attemptBox(a, at) {
	return h("article", {class: "attempt " + (a.status !== null && a.status < 300 ? "good" : "bad")},
		h("h3", null, `Attempt ${a.number} `, httpStatus(a.status), " ",
			h("span", {class: "note"}, when(a.at, true), ", ", ms(a.duration_ms), a.address && [", to ", mono(a.address)])),
		phases(a),
		a.error && a.error !== `HTTP status ${a.status}` && h("p", {class: "why"}, data(a.error)),
		a.response ? block(a.response, `What they answered to attempt ${a.number}`, 2048)
			: a.status !== null && h("p", {class: "note"}, "The answer had no body."),
		protocols(a),
		headers("What was sent", a.request_headers),
		headers("Headers of the answer", a.response_headers),
		at && a.request_headers && h("p", {class: "actions"},
			button("Show as curl", () => showCommand(at, a.number), null, {"data-k": `curl${a.number}`}),
			button("Verify signatures", () => askSecret(at, a.number), null, {"data-k": `verify${a.number}`})));
}

export async function delivery(view) {
	const {s: session, id} = view.params;
	const at = path`/sessions/${session}/deliveries/${id}`;
	const head = h("div");
	const attempts = h("div", {class: "stack"});
	let d;
	let drawn = "";

	const act = async (verb, text) => {
		const answer = await post(`${at}/${verb}`);
		say(answer.held_reason ? "Held: " + answer.held_reason : text);
		await load();
	};
	const load = async () => {
		d = await get(at, view.signal);
		swap(head, card(null,
			h("p", {class: "actions", "data-needs": "change"},
				button(d.status === "pending" ? "Send now" : "Send again",
					() => act("retry", "It is sent again at once."), "primary", {"data-k": "retry"}),
				(d.status === "pending" || d.status === "dead") &&
					button("Cancel", () => act("cancel", "The delivery is cancelled."), "danger", {"data-k": "cancel"})),
			facts([
				["Status", h("span", {id: "status", role: "status"}, badge(d.status))],
				d.held_reason && ["Held", held(d)],
				d.status === "pending" && ["Next attempt", d.in_flight ? "under way" : ago(d.next_attempt_at)],
				["Event", [data(d.event), " ", eventLink(session, d.event_id)]],
				["Webhook", d.webhook_id ? h("a", {href: path`#/s/${session}/webhooks/${d.webhook_id}`}, brief(d.url ?? d.webhook_id, 100)) : "gone"],
				d.raw && ["Body", sent(d.raw)],
				["Made", when(d.created_at, true)],
				["Attempts", count(d.attempt_count)],
				["Id", mono(d.id)],
			])));
		const made = JSON.stringify(d.attempts);
		if (made === drawn)
			return; // what was unfolded to be read stays so
		drawn = made;
		swap(attempts, card("Attempts", d.attempts.length === 0 ? h("p", {class: "empty"}, "None was made yet.")
			: [...d.attempts].reverse().map((a) => attemptBox(a, at))));
	};
	await load();
	view.draw("Delivery", h("p", {class: "crumbs"}, h("a", {href: path`#/s/${session}/deliveries`}, "Deliveries of ", data(session))),
		h("h1", {tabindex: "-1"}, "Delivery ", shortId(id)), head, attempts);
	view.every(1500, load);
}

export async function event(view) {
	const at = view.params.s ? path`/sessions/${view.params.s}/events/${view.params.id}` : path`/events/${view.params.id}`;
	const box = h("div");
	let e;
	const load = async () => {
		e = await get(at, view.signal);
		swap(box, table("Deliveries of the event", ["Webhook", "Status", "Attempts", "Last answer", "Next", "More"],
			e.deliveries.map((d) => [
				d.webhook_id ? h("a", {href: path`#/s/${e.session_id}/webhooks/${d.webhook_id}`}, brief(d.url ?? d.webhook_id, 60)) : "gone",
				badge(d.status), count(d.attempt_count), lastAnswer(d),
				nextTry(d),
				h("a", {href: path`#/s/${e.session_id}/deliveries/${d.id}`}, "Attempts"),
			]), "No webhook wanted it."),
			e.deliveries_count > e.deliveries.length && h("p", null,
				h("a", {href: path`#/s/${e.session_id}/deliveries` + `?event_id=${e.id}`}, `All ${count(e.deliveries_count)} deliveries`)));
	};
	await load();
	view.draw("Event", h("p", {class: "crumbs"}, h("a", {href: path`#/s/${e.session_id}/deliveries`}, "Deliveries of ", data(e.session_id))),
		h("h1", {tabindex: "-1"}, "Event ", data(e.event)),
		card(null, facts([
			["Session", h("a", {href: path`#/s/${e.session_id}/webhooks`}, data(e.session_id))],
			["Taken", when(e.created_at, true)],
			["Its time", when(new Date(e.timestamp * 1000).toISOString())],
			e.raw && ["Raw", sent(e.raw)],
			["Id", mono(e.id)],
		])),
		card("Where it went", box),
		card("The body", e.payload === null ? h("p", {class: "empty"}, "The store could not give it back.")
			: payload(e.payload)));
	view.every(3000, load);
}

/* A sender's own bytes. */
function sent(raw) {
	return [count(raw.bytes), " bytes of ", data(raw.content_type),
		Object.entries(raw.headers).map(([name, value]) => h("div", {class: "note"}, data(name), ": ", brief(value, 200)))];
}

/* A body for reading, and exactly as it is. */
export function payload(text) {
	const place = h("div");
	const show = (raw) => place.replaceChildren(block(raw ? text : pretty(text), "Body", 4096));
	const box = h("label", {class: "check"}, h("input", {type: "checkbox", onchange: (event) => show(event.target.checked)}),
		`byte by byte, ${count(new TextEncoder().encode(text).length)} bytes`);
	show(false);
	return [place, box];
}
