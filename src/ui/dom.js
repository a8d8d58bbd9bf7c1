/*
 * Building the page. All text goes in as text nodes: no markup is ever made out of a string, so
 * that whatever an event or a receiver says is shown and never run.
 */

const SVG = "http://www.w3.org/2000/svg";
const SHOWN_MAX = 262144; // characters of one text that are put on the page at most

function fill(el, props, kids) {
	for (const [name, value] of Object.entries(props ?? {})) {
		if (value === null || value === undefined || value === false)
			continue;
		if (name.startsWith("on"))
			el.addEventListener(name.slice(2), value);
		else
			el.setAttribute(name, value === true ? "" : value);
	}
	el.append(...kids.flat(Infinity).filter((kid) => kid !== null && kid !== undefined && kid !== false));
	return el;
}

/* An element: h("a", {href: "#/", onclick: f}, "text", [more]). */
export const h = (tag, props, ...kids) => fill(document.createElement(tag), props, kids);
export const svg = (tag, props, ...kids) => fill(document.createElementNS(SVG, tag), props, kids);

/*
 * A text with what has no form of its own, or changes that of its neighbours, written out: controls,
 * marks and overrides of direction, joiners, lone surrogates.
 */
export function visible(text) {
	return String(text).replace(
		/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
		(c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

/* Text of others in a line of ours: it cannot turn what stands beside it. */
export const data = (text, cls) => h("bdi", {class: cls ?? "data"}, visible(text));

/* Whose webhooks they are, in words. */
export const whose = (session) => session === "*" ? "all sessions" : data(session);

/* A line's worth of text, the whole of it in the tooltip. */
export function brief(text, max = 80, cls = "data") {
	const whole = String(text);
	if (whole.length <= max)
		return data(whole, cls);
	return h("bdi", {class: cls, title: visible(whole.slice(0, 1000))}, visible(whole.slice(0, max)) + "…");
}

export const mono = (text, cls = "") => h("bdi", {class: "mono " + cls}, visible(text));
export const shortId = (id) => h("bdi", {class: "mono", title: id}, "…" + id.slice(-12));

/* A block of text of any length: some of it at once, more and a file of all on request. */
export function block(text, name, max = 4096) {
	const pre = h("pre", {tabindex: "0", "aria-label": name, dir: "auto"}, visible(text.slice(0, max)));
	const box = h("div", {class: "block"}, pre);
	if (text.length <= max)
		return box;
	const foot = h("p", {class: "foot"});
	const save = h("button", {type: "button", onclick: () => download(text, name)}, "Download all");
	const more = h("button", {type: "button", onclick: () => {
		pre.textContent = visible(text.slice(0, SHOWN_MAX));
		more.remove();
		if (text.length > SHOWN_MAX)
			foot.prepend(`The first ${count(SHOWN_MAX)} of ${count(text.length)} characters. `);
		save.focus();
	}}, text.length > SHOWN_MAX ? "Show more" : `Show all ${count(text.length)} characters`);
	foot.append(more, save);
	box.append(foot);
	return box;
}

function download(text, name) {
	const url = URL.createObjectURL(new Blob([text], {type: "application/octet-stream"}));
	h("a", {href: url, download: name.replace(/\W+/g, "-") + ".txt"}).click();
	setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/* JSON with line breaks, its numbers and strings exactly as they stand; cut off at a bound. */
export function pretty(json) {
	let out = "";
	let depth = 0;
	const line = () => "\n" + "  ".repeat(depth);
	for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g)) {
		const last = out.at(-1);
		if (token === "}" || token === "]") {
			depth--;
			out += last === "{" || last === "[" ? token : line() + token;
		} else {
			if (last === "{" || last === "[")
				out += line();
			out += token;
			if (token === "{" || token === "[")
				depth++;
			else if (token === ",")
				out += line();
			else if (token === ":")
				out += " ";
		}
		if (out.length > SHOWN_MAX)
			return json;
	}
	return out;
}

/* Numbers, times */

export const count = (n) => Number(n).toLocaleString("en").replaceAll(",", "\u202f");

export function bytes(n) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;
	for (; n >= 1024 && i < units.length - 1; i++)
		n /= 1024;
	return (n >= 100 || i === 0 ? Math.round(n) : n.toFixed(1)) + " " + units[i];
}

export function ms(n) {
	if (n === null || n === undefined)
		return "–";
	if (n >= 60000)
		return span(n / 1000);
	if (n >= 1000)
		return (n / 1000).toFixed(n >= 10000 ? 1 : 2) + " s";
	return (n >= 100 ? Math.round(n) : n >= 1 ? n.toFixed(1) : n.toFixed(2)) + " ms";
}

export function span(s) {
	s = Math.max(0, Math.round(s));
	if (s < 60)
		return s + " s";
	if (s < 3600)
		return Math.floor(s / 60) + " min" + (s < 600 && s % 60 ? ` ${s % 60} s` : "");
	if (s < 86400)
		return Math.floor(s / 3600) + " h" + (s % 3600 >= 60 ? ` ${Math.floor(s % 3600 / 60)} min` : "");
	return Math.floor(s / 86400) + " d" + (s % 86400 >= 3600 ? ` ${Math.floor(s % 86400 / 3600)} h` : "");
}

const two = (n) => String(n).padStart(2, "0");

/* A moment: the clock where it is of today, the day before it else; in full in the tooltip. */
export function when(iso, withMs) {
	if (!iso)
		return "–";
	const t = new Date(iso);
	let text = `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
	if (withMs)
		text += "." + String(t.getMilliseconds()).padStart(3, "0");
	if (t.toDateString() !== new Date().toDateString())
		text = `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${text}`;
	return h("time", {datetime: iso, title: iso}, text);
}

/* How long ago, or until. */
export function ago(iso) {
	if (!iso)
		return "–";
	const s = (Date.now() - Date.parse(iso)) / 1000;
	return h("time", {datetime: iso, title: iso}, s < -0.5 ? "in " + span(-s) : span(s) + " ago");
}

/* Parts */

const KINDS = {
	delivered: "good", active: "good", standby: "info", published: "info", ok: "good", running: "info", done: "good",
	pending: "wait", retrying: "wait", held: "wait",
	dead: "bad", failing: "bad",
	expired: "off", cancelled: "off", disabled: "off",
};
export const badge = (status, text) =>
	h("span", {class: "badge " + (KINDS[status] ?? "off")}, text ?? status.replace("_", " "));

/* An HTTP status, or that there was none. */
export const httpStatus = (status) => status === null || status === undefined
	? h("span", {class: "badge bad"}, "no answer")
	: h("span", {class: "badge " + (status < 300 ? "good" : "bad")}, String(status));

export const button = (text, onclick, cls, more) =>
	h("button", {type: "button", onclick, class: cls, ...more}, text);

/* The same for what changes something, which is there for those who may: style.css. */
export const action = (text, onclick, cls, more) => button(text, onclick, cls, {"data-needs": "change", ...more});

/*
 * A table that turns into cards on a narrow screen: heads stand beside the cells there, and what
 * is only "–" is left out. A head in an array stands over what changes something, a column that is
 * there for those who may.
 */
export function table(caption, heads, rows, empty) {
	if (rows.length === 0)
		return h("p", {class: "empty"}, empty ?? "Nothing here.");
	const needs = heads.map((head) => Array.isArray(head) && "change");
	return h("div", {class: "scroll"}, h("table", null,
		h("caption", {class: "sr"}, caption),
		h("thead", null, h("tr", null, heads.map((head, i) => h("th", {scope: "col", "data-needs": needs[i]}, head)))),
		h("tbody", null, rows.map((cells) => h("tr", null, cells.map((cell, i) =>
			h("td", {"data-head": heads[i], "data-needs": needs[i], class: cell === "–" && "none"}, cell)))))));
}

export const facts = (pairs) => h("dl", {class: "facts"}, pairs.filter(Boolean).map(([name, value]) =>
	h("div", null, h("dt", null, name), h("dd", null, value))));

export const card = (title, ...kids) =>
	h("section", {class: "card"}, title && h("h2", null, title), kids);

/*
 * Replaces what a box holds. The focus stays on what has the same data-k, or leads to the same
 * place.
 */
export function swap(box, ...kids) {
	const focused = box.contains(document.activeElement) ? document.activeElement : null;
	const key = focused?.dataset.k ?? focused?.getAttribute("href");
	const index = key && [...box.querySelectorAll("[data-k],[href]")].filter((e) =>
		(e.dataset.k ?? e.getAttribute("href")) === key).indexOf(focused);
	box.replaceChildren(...kids.flat(Infinity).filter(Boolean));
	if (!focused)
		return;
	const same = [...box.querySelectorAll("[data-k],[href]")].filter((e) =>
		(e.dataset.k ?? e.getAttribute("href")) === key);
	(same[index] ?? same[0])?.focus({preventScroll: true});
}

/* Says something briefly, to the eye and to a screen reader. */
export function say(text, bad) {
	const toast = h("div", {class: "toast" + (bad ? " bad" : "")}, visible(text));
	const toasts = document.getElementById("toasts");
	toasts.append(toast);
	while (toasts.children.length > 4)
		toasts.firstChild.remove();
	setTimeout(() => toast.remove(), bad ? 15000 : 6000);
}

/* A modal dialog; it goes when it is closed, and the focus back to where it was. */
export function dialog(title, ...kids) {
	const box = h("dialog", {"aria-labelledby": "dialog-title"},
		h("h2", {id: "dialog-title"}, title), kids);
	const before = document.activeElement;
	const key = before?.dataset?.k;
	box.addEventListener("close", () => {
		box.remove();
		const back = before?.isConnected ? before : key && document.querySelector(`[data-k="${CSS.escape(key)}"]`);
		(back || document.getElementById("main")).focus?.();
	});
	document.body.append(box);
	box.showModal();
	return box;
}

/* Asks before what cannot be undone: whether to go on. */
export function confirm(title, text, verb) {
	return new Promise((resolve) => {
		let yes = false;
		const box = dialog(title, h("p", null, text), h("p", {class: "actions"},
			button(verb, () => { yes = true; box.close(); }, "danger"),
			button("Keep", () => box.close())));
		box.addEventListener("close", () => resolve(yes));
	});
}
