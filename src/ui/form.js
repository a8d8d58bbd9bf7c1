/* The dialogs that register a webhook, change it, give it a new secret, replay its past. */
import {ALL, call, get, hooksPath, path, post} from "./api.js";
import {badge, button, data, dialog, h, say, shortId, swap} from "./dom.js";

let asking = false; // the server what there is to choose from: a second click opens no second dialog

/* A field with its label, a note, and room for what the API says about it. */
export function field(name, label, input, note) {
	input.id = "f-" + name;
	input.dataset.field = name;
	const noteId = `note-${name}`;
	input.setAttribute("aria-describedby", noteId);
	return h("div", {class: "field"}, h("label", {for: input.id}, label), input,
		h("p", {id: noteId, class: "note"}, note));
}

export const text = (value, more) => h("input", {value: value ?? "", autocomplete: "off", spellcheck: "false", ...more});
export const choice = (value, options) => h("select", null, options.map(([v, name]) =>
	h("option", {value: v, selected: v === value}, name)));
const words = (value) => value.split(/[\s,]+/).filter(Boolean);
const number = (value) => value.trim() === "" ? null : Number(value);

/* "Name: value" a line, as an object. */
function readHeaders(lines) {
	return Object.fromEntries(lines.split("\n").filter((line) => line.trim()).map((line) => {
		const at = line.indexOf(":");
		return at < 0 ? [line.trim(), ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
	}));
}

/* What stands in a field in JSON, or null where that is empty; what is no JSON is refused as the API would. */
function readJson(value, field) {
	try {
		return value.trim() ? JSON.parse(value) : null;
	} catch {
		throw Object.assign(new Error("This is no JSON."), {field});
	}
}

/* Refuses numbers that a browser rounds: a filter of another id than the one that is seen. */
function checkNumbers(value, field = "filter") {
	if (/\d{16}/.test(value.replace(/"(?:[^"\\]|\\.)*"/g, '""')))
		throw Object.assign(new Error("Numbers of more than 15 digits are set by the API: a browser rounds them."),
			{field});
}

/* Shows what the API refused, at its field where it names one, and leads there. */
function refuse(form, error) {
	for (const input of form.querySelectorAll("[aria-invalid]"))
		input.removeAttribute("aria-invalid");
	for (const old of form.querySelectorAll(".error"))
		old.remove();
	const name = error.field?.replace(/[[.].*/, "");
	const find = (field) => field && form.querySelector(`[data-field="${CSS.escape(field)}"]`);
	const input = find(error.field) ?? find(name);
	const message = h("p", {class: "error", role: "alert", id: "form-error"}, data(error.message, ""),
		error.field && error.field !== name && [" (", data(error.field), ")"]);
	if (input) {
		input.closest("details")?.setAttribute("open", "");
		input.setAttribute("aria-invalid", "true");
		input.setAttribute("aria-errormessage", "form-error");
		input.after(message);
		input.focus();
	} else {
		form.prepend(message);
	}
}

/* A dialog with a form: `work` is called until it does not throw; resolves to what it returns. */
export function ask(title, verb, fields, work) {
	return new Promise((resolve) => {
		let result = null;
		const form = h("form", {novalidate: true}, fields, h("p", {class: "actions"},
			h("button", {class: "primary"}, verb), button("Cancel", () => box.close())));
		const box = dialog(title, form);
		form.addEventListener("submit", async (event) => {
			event.preventDefault();
			const go = form.querySelector("button.primary");
			if (go.disabled)
				return;
			go.disabled = true;
			try {
				result = await work();
				box.close();
			} catch (error) {
				refuse(form, error);
			} finally {
				go.disabled = false;
			}
		});
		box.addEventListener("close", () => resolve(result));
		form.querySelector("input,select,textarea")?.focus();
	});
}

/* A text to take along, with a button that does so; `of` tells it from others of its kind. */
export function copyable(label, value, of) {
	const shown = text(value, {readonly: true, class: "mono", "aria-label": label ?? "URL of " + of});
	return h("div", {class: "copy"}, label && h("span", {class: "note"}, label), shown, button("Copy", async () => {
		shown.select();
		await navigator.clipboard?.writeText(value);
		say("Copied.");
	}, "", {"aria-label": `Copy ${label ?? "URL of " + of}`, "data-k": "copy-" + value}));
}

const TRIED = 10; // events

/* Tries what stands in `filter` on the session's last events, and shows which of them match. */
async function tryFilter(session, w, filter, box) {
	const of = session === ALL ? (await get("/sessions?limit=1")).sessions[0]?.id ?? "-" : session;
	const recent = await get(path`/sessions/${of}/deliveries` + "?limit=100");
	const events = [...new Map(recent.deliveries.map((d) => [d.event_id, d.event]))].slice(0, TRIED);
	const condition = readJson(filter.value, "filter");
	checkNumbers(filter.value);
	const answers = await Promise.all(events.map(([id]) =>
		post(`${hooksPath(session)}/${w.id}/filter-test`, {event_id: id, filter: condition})));
	swap(box, events.length === 0 ? h("p", {class: "note"}, "No event is kept to try it on.")
		: h("ul", null, answers.map((answer, n) => h("li", null,
			badge(answer.matches ? "delivered" : "cancelled", answer.matches ? "matches" : "does not match"), " ",
			data(events[n][1]), " ", shortId(events[n][0]), " ", data(answer.why.filter((part) => !part.matches)
				.map((part) => part.field).join(", "))))));
}

/* A box for each scheme; those of `is`, a name or a list, are ticked. read() gives the same. */
function schemes(is, known) {
	const boxes = known.map(({name, summary}) => [name, h("input", {type: "checkbox", value: name,
		checked: [is].flat().includes(name)}), summary]);
	return {
		element: h("fieldset", {id: "f-signature", "data-field": "signature"}, h("legend", null, "Signature"), boxes.map(([name, box, summary]) =>
			h("label", {class: "tick"}, box, ` ${name}, ${summary}`)),
			h("p", {class: "note"}, "Of v1 and v2 one. A key pair is drawn where one is wanted; its public key is shown then.")),
		read: () => {
			const names = boxes.filter(([, box]) => box.checked).map(([name]) => name);
			return names.length === 1 ? names[0] : names;
		},
	};
}

/* Registers a webhook, or changes `w`: only what differs is sent. Resolves to it, or null. */
export async function editWebhook(session, w) {
	if (asking)
		return null;
	asking = true;
	const can = await get("/capabilities").finally(() => { asking = false; });
	const is = w ?? {events: ["all"], payload: "envelope", signature: can.default_signature, ordering: "none", headers: {}, tls_verify: true, no_proxy: [],
		http_version: "1.1", content_encoding: "identity"};
	const url = text(is.url, {type: "url", inputmode: "url", required: true, placeholder: "https://example.org/hook"});
	const events = text(is.events.join(", "), {list: "known-events"});
	const strict = choice("true", [["true", "refused, as typos"], ["false", "taken"]]);
	const filter = h("textarea", {rows: 3, spellcheck: "false",
		placeholder: '{"path": "/data/chat", "suffix": "@g.us"}'});
	filter.value = is.filter ? JSON.stringify(is.filter, null, 1) : "";
	const tried = h("div", {"aria-live": "polite"});
	const payload = choice(is.payload, [["envelope", "the envelope"], ["data", "its data alone"],
		["cloudevents", "a CloudEvent"]]);
	const secret = text("", {placeholder: w?.secret ? "unchanged" : "none"});
	const description = text(is.description, {maxlength: 500});
	const name = text(is.name, {maxlength: 64});
	const signature = schemes(is.signature, can.signatures);
	const ordering = choice(is.ordering.key === undefined ? is.ordering : "key", [["none", "none, as fast as possible"],
		["fifo", "fifo, one after the other"], ["key", "so within a key, others beside"]]);
	const key = text(is.ordering.key ?? "/data/chat", {spellcheck: "false", maxlength: 512});
	const keyField = field("ordering.key", "Key", key, "A JSON pointer: events with the same value there are in order.");
	const showKey = () => { keyField.hidden = ordering.value !== "key"; };
	ordering.addEventListener("change", showKey);
	showKey();
	const timeout = text(is.timeout_ms, {type: "number", min: 100, max: 30000, placeholder: "as the server is set"});
	const inFlight = text(is.max_in_flight, {type: "number", min: 1, max: 256, placeholder: "16"});
	const limit = text(is.rate_limit, {type: "number", step: "any", placeholder: "none"});
	const retry = text(is.retry?.join(", "), {placeholder: "as the server is set"});
	const headers = h("textarea", {rows: 3, spellcheck: "false", placeholder: "Authorization: Bearer …"});
	headers.value = Object.entries(is.headers).map(([name, value]) => `${name}: ${value}`).join("\n");
	const auth = h("textarea", {rows: 3, spellcheck: "false", placeholder: '{"type": "bearer", "token": "…"}'});
	const success = h("textarea", {rows: 3, spellcheck: "false",
		placeholder: '{"statuses": ["2xx", 302], "answer": {"path": "/ok", "equals": true}}'});
	success.value = is.success ? JSON.stringify(is.success, null, 1) : "";
	const fallback = text(is.fallback_url, {type: "url", inputmode: "url", placeholder: "none"});
	auth.value = is.auth ? JSON.stringify(is.auth, null, 1) : "";
	const cert = h("textarea", {rows: 3, spellcheck: "false", placeholder: w?.client_cert_pem ? "unchanged" : "-----BEGIN CERTIFICATE-----"});
	const certKey = h("textarea", {rows: 3, spellcheck: "false", placeholder: w?.client_key_pem ? "unchanged" : "-----BEGIN PRIVATE KEY-----"});
	const verify = choice(String(is.tls_verify), [["true", "checked"], ["false", "not checked"]]);
	const asked = choice(is.verify ?? "", [["", "as the server is set"], ["get", "by GET"], ["post", "by POST"]]);
	const pem = h("textarea", {rows: 3, spellcheck: "false", placeholder: "-----BEGIN CERTIFICATE-----"});
	pem.value = is.ca_pem ?? "";
	const proxy = text(is.proxy ?? "default", {maxlength: 2048});
	const noProxy = text(is.no_proxy.join(", "), {placeholder: "none"});
	const agent = text(is.user_agent, {maxlength: 256, placeholder: "waybill's"});
	const version = choice(is.http_version, [["1.1", "1.1"], ["2", "2, where the receiver speaks it"]]);
	const encoding = choice(is.content_encoding, [["identity", "as it is"], ["gzip", "gzip, of over 1 KiB"]]);

	const values = () => ({
		url: url.value.trim(),
		events: words(events.value),
		...(strict.value === "false" && {events_strict: false}),
		filter: readJson(filter.value, "filter"),
		description: description.value || null,
		name: name.value.trim() || null,
		payload: payload.value,
		signature: signature.read(),
		ordering: ordering.value === "key" ? {key: key.value} : ordering.value,
		timeout_ms: number(timeout.value),
		max_in_flight: number(inFlight.value),
		rate_limit: number(limit.value),
		retry: words(retry.value).length ? words(retry.value) : null,
		headers: readHeaders(headers.value),
		auth: readJson(auth.value, "auth"),
		success: readJson(success.value, "success"),
		fallback_url: fallback.value.trim() || null,
		tls_verify: verify.value === "true",
		ca_pem: pem.value.trim() ? pem.value : null,
		verify: asked.value || null,
		proxy: proxy.value.trim() || "default",
		no_proxy: words(noProxy.value),
		user_agent: agent.value.trim() || null,
		http_version: version.value,
		content_encoding: encoding.value,
		...(secret.value !== "" && {secret: secret.value}),
		...(cert.value.trim() && {client_cert_pem: cert.value}),
		...(certKey.value.trim() && {client_key_pem: certKey.value}),
	});
	const before = w && values();
	const changed = () => Object.fromEntries(Object.entries(values()).filter(([name, value]) => before
		? JSON.stringify(value) !== JSON.stringify(before[name])
		: value !== null && !(name === "events" && value.length === 0)));

	return ask(w ? "Change the webhook" : "Register a webhook", w ? "Save" : "Register", [
		field("url", "URL", url, "Where events are sent, http or https."),
		field("events", "Events", events, "Names, separated by commas; “all” is every event, “group_*” all that begin so."),
		h("datalist", {id: "known-events"}, can.events.map((value) => h("option", {value}))),
		field("secret", "Secret", secret, w ? "A new one holds at once; “New secret” gives an overlap."
			: "Signs each delivery. It is never shown again."),
		field("filter", "Filter", filter, "A condition in JSON: only events of which it is true. Empty: none."),
		w && h("p", null, button("Try it on the last events", async (event) => {
			try {
				await tryFilter(session, w, filter, tried);
			} catch (error) {
				refuse(event.target.form, error);
			}
		})),
		w && tried,
		field("description", "Description", description, "For people."),
		field("name", "Name", name, "Stands for its id in paths and files."),
		h("details", null, h("summary", null, "More settings"),
			field("headers", "Headers", headers, "Sent with every attempt, one a line."),
			field("auth", "Who it is, JSON", auth, "basic, bearer or oauth2, by a secret or a key: docs/api.md. A change gives all of it, its secret too."),
			field("success", "Success, JSON", success, "Which answers count: statuses, and a condition on a body in JSON. Empty: 2xx."),
			field("fallback_url", "Fallback URL", fallback, "Where events are sent while the circuit of the URL is open."),
			field("events_strict", "Unknown names", strict, "Names in Events that nobody knows."),
			field("payload", "Body", payload, "What is sent: docs/filters.md."),
			field("ordering", "Order", ordering, "With fifo one that fails holds back all behind it, with a key those of its value."),
			keyField,
			field("retry", "Waits between attempts", retry, "Such as 5s, 30s, 2m."),
			field("timeout_ms", "Time-out, ms", timeout, "100 to 30 000."),
			field("max_in_flight", "At once, at most", inFlight, "1 to 256."),
			field("rate_limit", "Attempts a second, at most", limit, "Empty: as many as it takes."),
			signature.element,
			field("verify", "Asked first", asked, "Nothing is delivered before it has repeated a challenge: docs/api.md."),
			field("tls_verify", "Certificate", verify, "Not checked: whoever is in between can read and answer."),
			field("ca_pem", "Authorities, PEM", pem, "In place of the system's, for this receiver."),
			field("client_cert_pem", "Client certificate, PEM", cert, is.client_cert_expires_at
				? `Shown to the receiver; expires ${is.client_cert_expires_at}. Change it with its key.` : "Shown to the receiver in TLS."),
			field("client_key_pem", "Its key, PEM", certKey, "It is never shown again."),
			field("proxy", "Proxy", proxy, "default, none, or http://USER:PASSWORD@HOST:PORT; the password is never shown again."),
			field("no_proxy", "Hosts without proxy", noProxy, "Separated by commas; a name stands for those below it too."),
			field("user_agent", "User-Agent", agent, "What requests say they are from."),
			field("http_version", "HTTP", version, "2 takes an https URL."),
			field("content_encoding", "Bodies are sent", encoding, "Signed over what the gzip holds.")),
	], async () => {
		const fields = changed();
		if (fields.filter)
			checkNumbers(filter.value);
		if (fields.success)
			checkNumbers(success.value, "success");
		const answer = w ? await call("PATCH", `${hooksPath(session)}/${w.id}`, {body: fields})
			: await post(hooksPath(session), fields);
		say(w ? "The webhook is changed." : "The webhook is registered.");
		return answer;
	});
}

/* Gives a new secret, and shows it once. */
export async function rotateSecret(session, id) {
	const secret = text("", {placeholder: "made by the server"});
	const overlap = text("86400", {type: "number", min: 0, max: 2592000});
	const answer = await ask("New secret", "Rotate", [
		field("secret", "Secret", secret, "Empty: the server makes one."),
		field("overlap_seconds", "Overlap, seconds", overlap, "How long both sign, in webhook-signature."),
	], () => post(`${hooksPath(session)}/${id}/rotate-secret`, {
		overlap_seconds: number(overlap.value) ?? 0, ...(secret.value && {secret: secret.value})}));
	if (!answer)
		return;
	const box = dialog("The new secret", h("p", null, "It is shown this once."), copyable("The new secret", answer.secret),
		h("p", {class: "actions"}, button("Done", () => box.close(), "primary")));
	box.querySelector("input").select();
}

/* Sends the past of a webhook again. */
export function replayPast(session, id) {
	const since = choice("3600", [["900", "the last 15 minutes"], ["3600", "the last hour"], ["86400", "the last day"],
		["604800", "the last 7 days"], ["2592000", "the last 30 days"]]);
	const status = choice("failed", [["failed", "what failed: dead, expired or cancelled"], ["dead", "dead only"],
		["delivered", "what was delivered"], ["all", "all"]]);
	return ask("Replay", "Replay", [
		h("p", null, "The same bytes are sent again, with the same event ids."),
		field("since", "Events of", since, "By the time at which they were published."),
		field("status", "Which", status, "Receivers drop what they have seen, by X-Webhook-Id."),
	], async () => (await post(`${hooksPath(session)}/${id}/replay`, {
		since: new Date(Date.now() - Number(since.value) * 1000).toISOString(), status: status.value})).replay);
}
