/* The frame: which view the address asks for, the search, what is said of the server. */
import {ALL, ApiError, SESSION_ALLOWED, each, get, isReady, isSession, learnRights, path, query, store, takeToken} from "./api.js";
import {data, h, say} from "./dom.js";
import {overview} from "./overview.js";
import {sessions} from "./sessions.js";
import {allWebhooks, webhooks} from "./webhooks.js";
import {webhook} from "./webhook.js";
import {deliveries} from "./deliveries.js";
import {delivery, event} from "./delivery.js";
import {deadLetters} from "./dead.js";
import {sources} from "./sources.js";
import {tail} from "./tail.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/* Pattern, the section it belongs to, its view. ":s" is a session. */
const VIEWS = [
	["", "overview", overview],
	["sessions", "sessions", sessions],
	["webhooks", "webhooks", allWebhooks],
	["deliveries", "deliveries", deliveries],
	["dead", "dead", deadLetters],
	["sources", "sources", sources],
	["tail", "tail", tail],
	["events/:id", "deliveries", event],
	["find/:text", "deliveries", find],
	["s/:s/webhooks", "webhooks", webhooks],
	["s/:s/webhooks/:id", "webhooks", webhook],
	["s/:s/deliveries", "deliveries", deliveries],
	["s/:s/deliveries/:id", "deliveries", delivery],
	["s/:s/events/:id", "deliveries", event],
	["s/:s/dead", "dead", deadLetters],
];

const main = document.getElementById("main");
let current = new AbortController();

function match(parts) {
	for (const [pattern, section, view] of VIEWS) {
		const names = pattern.split("/");
		const params = {};
		const fits = names.length === parts.length && names.every((name, i) => {
			if (name[0] === ":")
				params[name.slice(1)] = parts[i];
			return name[0] === ":" ? parts[i] !== "" : name === parts[i];
		});
		if (fits)
			return {section, view, params};
	}
	return null;
}

/* Whether somebody has marked text, to read or copy: it is not taken away. */
function isReading() {
	const marked = getSelection();
	return !marked.isCollapsed && main.contains(marked.anchorNode);
}

/* What a view has: where it draws, its parameters, and a way to do things again and again. */
function context(params, search, signal) {
	return {
		params, signal, main,
		search: new URLSearchParams(search),
		draw(title, ...kids) {
			document.title = title + " · waybill";
			main.replaceChildren(...kids.flat(Infinity).filter(Boolean));
		},
		/* Goes on with `work` every `wait` ms while the page is seen, until it returns false. */
		every(wait, work) {
			let busy = false;
			const timer = setInterval(async () => {
				if (busy || document.hidden || isReading())
					return;
				busy = true;
				try {
					if (await work() === false)
						clearInterval(timer);
				} catch (error) {
					if ([401, 403, 404].includes(error.status))
						clearInterval(timer); // it is gone, and stays so
					if (!signal.aborted && error.status !== 0)
						throw error;
				} finally {
					busy = false;
				}
			}, wait);
			signal.addEventListener("abort", () => clearInterval(timer));
		},
		/* Changes the address's search without a new view, so that it can be passed on. */
		remember(params) {
			const text = new URLSearchParams(Object.entries(params).filter(([, v]) => v)).toString();
			history.replaceState(null, "", location.hash.split("?")[0] + (text && "?" + text));
		},
	};
}

function problem(error) {
	return h("section", {class: "card", role: "alert"},
		h("h1", {tabindex: "-1"}, error.status === 404 ? "Not found" : "This did not work"),
		h("p", null, data(error.message), error.field && [" (", data(error.field), ")"]),
		h("p", {class: "actions"}, h("button", {type: "button", onclick: show}, "Try again")));
}

async function show(event) {
	takeToken();
	leave.hidden = store.token === "";
	current.abort();
	current = new AbortController();
	const {signal} = current;
	const [where, search] = location.hash.replace(/^#\/?/, "").split("?");
	let parts;
	try {
		parts = where.split("/").map(decodeURIComponent);
	} catch {
		parts = ["", ""];
	}
	const found = match(parts);
	for (const link of document.querySelectorAll("nav a")) {
		if (link.dataset.nav === found?.section)
			link.setAttribute("aria-current", "page");
		else
			link.removeAttribute("aria-current");
	}
	main.setAttribute("aria-busy", "true");
	try {
		await learnRights();
		if (!found)
			throw new ApiError(404, "there is no such page");
		if (found.params.s) {
			const isAll = found.params.s === ALL && ["webhooks", "dead"].includes(found.section);
			if (!isAll && !isSession(found.params.s))
				throw new ApiError(400, `a session id must be ${SESSION_ALLOWED}`);
			if (!isAll)
				store.session = found.params.s;
		}
		await found.view(context(found.params, search, signal));
	} catch (error) {
		if (signal.aborted)
			return;
		document.title = "waybill";
		main.replaceChildren(problem(error));
		if (!(error instanceof ApiError))
			throw error;
	} finally {
		if (!signal.aborted)
			main.removeAttribute("aria-busy");
	}
	if (event?.type === "hashchange" && !signal.aborted) {
		scrollTo(0, 0);
		(main.querySelector("h1[tabindex]") ?? main).focus({preventScroll: true});
	}
}

/* What answers 404 is null; 403 as well: a scoped token asks for what is not its own. */
const orNull = (promise) => promise.catch((error) => {
	if (error.status === 404 || error.status === 403)
		return null;
	throw error;
});

/* The event that a publisher gave this id, in the session at hand or in one of the first. */
async function ownEvent(id, signal) {
	const all = await orNull(get("/sessions?limit=200", signal));
	const places = [...new Set([store.session, ...(all?.sessions.map((s) => s.id) ?? [])].filter(Boolean))];
	let found = null;
	await each(places, async (session) => {
		const answer = found ? null : await orNull(get(path`/sessions/${session}/events` + query({id}), signal));
		found ??= answer?.events[0] ?? null;
	});
	return found;
}

/* Where what has that id is shown; null: there is none. */
async function placeOf(id, version, signal) {
	if (version === "4") {
		const w = await orNull(get(path`/webhooks/${id}`, signal));
		return w && path`s/${w.session_id}/webhooks/${id}`;
	}
	if (await orNull(get(path`/events/${id}`, signal)))
		return path`events/${id}`;
	const d = await orNull(get(path`/deliveries/${id}`, signal));
	return d && path`s/${d.session_id}/deliveries/${id}`;
}

/* Leads from an id, or a session's name, to what it is. */
async function find(view) {
	const text = view.params.text.trim();
	const go = (to) => location.replace("#/" + to);
	const id = text.toLowerCase();
	const version = UUID.exec(id)?.[1];
	const place = version && await placeOf(id, version, view.signal);
	if (place)
		return go(place);
	if (!version && isSession(text) && await orNull(get(path`/sessions/${text}`, view.signal)))
		return go(path`s/${text}/webhooks`);
	const own = await ownEvent(text, view.signal);
	if (own)
		return go(path`events/${own.id}`);
	return view.draw("Not found", h("section", {class: "card", role: "alert"},
		h("h1", {tabindex: "-1"}, "Nothing found"),
		h("p", null, version ? "No event, delivery or webhook has this id, and no publisher gave it to an event lately: "
			: "There is no session of this name, and no publisher gave it to an event as its id lately: ", data(text.slice(0, 200))),
		h("p", {class: "note"}, "An event that no webhook wanted is not kept, nor is one whose time is up ",
			"(the settings retention and dead_letter_retention). A session is there once it has a webhook."),
		!version && isSession(text) && h("p", {"data-needs": "change"}, h("a", {href: path`#/s/${text}/webhooks`}, "Register its first webhook"))));
}

const search = document.getElementById("search");
search.addEventListener("submit", (event) => {
	event.preventDefault();
	const text = document.getElementById("q").value.trim();
	if (text)
		location.hash = path`#/find/${text}`;
});
document.addEventListener("keydown", (event) => {
	if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey ||
	    event.target.closest("input,textarea,select,dialog"))
		return;
	event.preventDefault();
	document.getElementById("q").select();
	document.getElementById("q").focus();
});
document.getElementById("skip").addEventListener("click", (event) => {
	event.preventDefault(); // the address is ours to route
	main.focus();
});

const leave = document.getElementById("leave");
leave.addEventListener("click", () => {
	store.forget();
	location.hash = "#/";
	location.reload();
});

addEventListener("unhandledrejection", (event) => {
	if (event.reason?.name === "AbortError")
		event.preventDefault();
	else if (event.reason instanceof ApiError) {
		event.preventDefault();
		say(event.reason.message, true);
	}
});

async function health() {
	const trouble = document.hidden ? null : await isReady();
	const place = document.getElementById("health");
	const text = trouble || "ready";
	if (trouble !== null && place.textContent !== text) {
		place.className = "health " + (trouble ? "bad" : "good");
		place.textContent = text;
	}
}
setInterval(health, 10000);
health();
addEventListener("hashchange", show);
show();
