/* The way to the API: the token, calls, pages of lists, and the stream of events. */
import {h, dialog} from "./dom.js";

const BASE = new URL("../", document.baseURI); // below a proxy's path too
let asking = null; // the one dialog that asks for the token, while it is open

/* The tab's storage; in a frame a browser may keep that from us: then until the page goes. */
const kept = (() => {
	try {
		return sessionStorage;
	} catch {
		const all = new Map();
		return {getItem: (key) => all.get(key), setItem: (key, text) => all.set(key, text), clear: () => all.clear()};
	}
})();

export const store = {
	get token() { return kept.getItem("waybill-token") ?? ""; },
	set token(text) { kept.setItem("waybill-token", text); },
	get session() { return kept.getItem("waybill-session") ?? ""; },
	set session(text) { kept.setItem("waybill-session", text); },
	forget() { kept.clear(); },
};

/* Whether the token is a portal link's, which nobody types: without it there is nothing to ask for. */
const isLink = () => store.token.startsWith("wbp_");

let learnt = null; // the token that data-may is of

/*
 * Asks what the token may do, and has style.css by it: what needs more (data-needs) is not there.
 * Nothing else here decides that; the server refuses all the same.
 */
export async function learnRights() {
	if (learnt === store.token)
		return;
	const is = await get("/token");
	learnt = store.token;
	document.documentElement.dataset.may = [!is.read_only && "change", is.all_sessions && "all",
		is.kind === "token" && "link"].filter(Boolean).join(" ");
}

/* Takes the token out of the address, where a link has it, and leaves nothing of it there. */
export function takeToken() {
	const given = /^#token=(wbp_[\w-]+)/.exec(location.hash);
	if (!given)
		return;
	store.forget();
	store.token = given[1];
	history.replaceState(null, "", "#/");
}

export class ApiError extends Error {
	constructor(status, message, field) {
		super(message);
		this.status = status;
		this.field = field ?? "";
	}
}

/* Asks for the token; calls that wait for it share the question. */
function askToken(wrong) {
	asking ??= new Promise((resolve) => {
		const input = h("input", {
			type: "password", id: "token", autocomplete: "current-password", required: true,
			"aria-describedby": "token-note", "aria-invalid": wrong ? "true" : null,
		});
		const form = h("form", null,
			h("input", {autocomplete: "username", value: "waybill", hidden: true}), // for password managers
			h("label", {for: "token"}, "Token"), input,
			h("p", {id: "token-note", class: wrong ? "error" : "note"}, wrong
				? "The server does not take this token."
				: "It is kept in this tab until the tab is closed, and sent to this server alone."),
			h("p", {class: "actions"}, h("button", {class: "primary"}, "Continue")));
		const box = dialog("This server needs a token", form);
		box.addEventListener("cancel", (event) => event.preventDefault());
		form.addEventListener("submit", (event) => {
			event.preventDefault();
			store.token = input.value.trim();
			document.getElementById("leave").hidden = false;
			asking = null;
			box.close();
			resolve();
		});
		/* Escape twice closes a dialog whatever its handlers say */
		box.addEventListener("close", () => { if (asking) { asking = null; resolve(); } });
		input.focus();
	});
	return asking;
}

async function send(method, path, {body, signal, headers} = {}) {
	for (let wrong = false;; wrong = true) {
		const token = store.token;
		let answer;
		try {
			answer = await fetch(new URL(path, BASE), {
				method, signal, cache: "no-store", credentials: "omit",
				headers: {
					...(token && {Authorization: "Bearer " + token}),
					...(body !== undefined && {"Content-Type": "application/json"}),
					...headers,
				},
				body: body === undefined ? undefined : JSON.stringify(body),
			});
		} catch (error) {
			if (error.name === "AbortError")
				throw error;
			throw new ApiError(0, "the server cannot be reached");
		}
		if (answer.status !== 401 || isLink()) {
			if (wrong && learnt !== null)
				learnRights().catch(() => {}); // another token was given meanwhile; the next view asks again
			return answer;
		}
		if (token === store.token) // else it was given meanwhile
			await askToken(wrong || token !== "");
		signal?.throwIfAborted();
	}
}

/* One call; throws an ApiError with what the server said. A command is text, all else JSON. */
export async function call(method, path, options) {
	const answer = await send(method, "api/v1" + path, options);
	if (answer.ok)
		return answer.headers.get("Content-Type").startsWith("text/plain") ? answer.text() : answer.json();
	const {error} = await answer.json().catch(() => ({}));
	throw new ApiError(answer.status, error?.message ?? `the server answered ${answer.status}`, error?.field);
}

export const get = (path, signal) => call("GET", path, {signal});
export const post = (path, body) => call("POST", path, {body});

/* Where others reach a path of this server. */
export const urlOf = (path) => new URL(path.slice(1), BASE).href;
/* What a session id must be, and whether a text is one. */
export const SESSION_ALLOWED = "1 to 128 bytes of UTF-8 without control characters, and none of . .. *";
export const isSession = (text) => /^[^\p{Cc}\p{Cs}]+$/u.test(text) && ![".", "..", "*"].includes(text)
	&& new TextEncoder().encode(text).length <= 128;

/* A path below a session: path`…` encodes what is put in. */
export const path = (texts, ...values) => String.raw({raw: texts}, ...values.map(encodeURIComponent));

/* Stands for all sessions: whose webhooks are of none, and of each. */
export const ALL = "*";
export const hooksPath = (session) => session === ALL ? "/webhooks" : path`/sessions/${session}/webhooks`;

export function query(params) {
	const pairs = Object.entries(params).filter(([, value]) => value !== "" && value !== null && value !== undefined);
	return pairs.length ? "?" + new URLSearchParams(pairs) : "";
}

/*
 * The next page of a list. Pages may be empty and not the last: some are passed over, so that
 * one call here is bounded too.
 */
export async function page(listPath, params, key, signal) {
	let cursor = params.cursor;
	for (let tries = 0;; tries++) {
		const answer = await get(listPath + query({...params, cursor}), signal);
		cursor = answer.next_cursor;
		if (answer[key].length > 0 || !cursor || tries === 9)
			return {items: answer[key], cursor: cursor ?? null};
	}
}

/* A whole list, page by page. */
export async function all(listPath, key, signal) {
	const items = [];
	let cursor = null;
	do {
		const answer = await get(listPath + query({cursor}), signal);
		items.push(...answer[key]);
		cursor = answer.next_cursor;
	} while (cursor);
	return items;
}

/* Does `work` for each item, a few at a time. */
export async function each(items, work, atOnce = 4) {
	const rest = [...items];
	await Promise.all(Array.from({length: atOnce}, async () => {
		while (rest.length)
			await work(rest.shift());
	}));
}

export async function isReady() {
	try {
		const answer = await fetch(new URL("readyz", BASE), {cache: "no-store"});
		return answer.ok ? "" : (await answer.json()).error.message;
	} catch {
		return "the server cannot be reached";
	}
}

/*
 * Reads server-sent events until the signal says to stop, and begins again where it was after
 * the connection ends. `on.event(type, data)`, `on.state(connected, why)`.
 */
export async function stream(streamPath, on, signal) {
	let last = "";
	for (let wait = 500; !signal.aborted;) {
		try {
			const answer = await send("GET", "api/v1" + streamPath, {signal, headers: {
				Accept: "text/event-stream", ...(last && {"Last-Event-ID": last})}});
			if (!answer.ok) {
				const {error} = await answer.json().catch(() => ({}));
				throw new ApiError(answer.status, error?.message ?? `the server answered ${answer.status}`);
			}
			on.state(true);
			wait = 500;
			await readEvents(answer.body, (id, type, text) => {
				last = id || last;
				on.event(type, text);
			});
			throw new ApiError(0, "the connection ended");
		} catch (error) {
			if (signal.aborted)
				return;
			on.state(false, error.message);
			if (error.status >= 400 && error.status < 500 && error.status !== 429)
				return;
		}
		await new Promise((resolve) => setTimeout(resolve, wait));
		wait = Math.min(wait * 2, 10000);
	}
}

async function readEvents(body, emit) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	let id = "", type = "", lines = [];
	for (;;) {
		const {done, value} = await reader.read();
		if (done)
			return;
		const all = (rest + value).split(/\r\n|\n|\r(?!$)/);
		rest = all.pop();
		for (const line of all) {
			const [, name, text] = /^([^:]*):? ?(.*)$/s.exec(line);
			if (line === "") {
				if (lines.length)
					emit(id, type || "message", lines.join("\n"));
				type = "", lines = [];
			} else if (name === "data") {
				lines.push(text);
			} else if (name === "event") {
				type = text;
			} else if (name === "id") {
				id = text;
			}
		}
	}
}
