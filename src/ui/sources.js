/* The sources: doors for other senders, what came through them, what is to be pasted there. */
import {all as allOf, call, get, path, post, urlOf} from "./api.js";
import {action, ago, badge, brief, button, card, confirm, count, data, dialog, h, say, swap, table} from "./dom.js";
import {ask, choice, copyable, field, text} from "./form.js";

/* What goes to the sender: the URL, and the secret, which is shown this once. */
function showPaste(source) {
	const box = dialog("To paste at the sender",
		copyable("URL", urlOf(source.path)),
		source.secret && [copyable("Secret", source.secret), h("p", {class: "note"}, "The secret is shown this once.")],
		h("p", {class: "actions"}, button("Done", () => box.close(), "primary")));
}

/* Asks for what a new one needs, and makes it; null where it is not wanted. */
async function addSource() {
	const {presets} = await get("/capabilities");
	const preset = choice("", [["", "choose…"], ...presets.map((name) => [name, name])]);
	const name = text("", {maxlength: 100, required: true});
	const session = text("");
	const secret = text("", {placeholder: "made by the server, where the sender takes one"});
	const token = text("", {placeholder: "none"});
	const body = choice("envelope", [["envelope", "the envelope"], ["raw", "its own bytes"]]);
	const headers = text("");
	return ask("Add a source", "Add", [
		field("preset", "Sender", preset, "What it sends, and how it proves itself."),
		field("name", "Name", name, "For people."),
		field("session", "Session", session, ["All its events are of this one.", h("span", {"data-needs": "all"}, " Empty: the sender's own word for it.")]),
		field("verify", "Secret", secret, "Of Meta, Stripe, Shopify, Slack: the one that they show."),
		field("verify_token", "Verify token", token, "What you type at Meta."),
		field("body", "What goes on", body, "Its own bytes for receivers that check its signature."),
		field("raw_headers", "With these headers", headers, "Of its own bytes."),
	], () => post("/sources", {
		name: name.value,
		...(preset.value && {preset: preset.value}),
		...(session.value && {session: session.value.trim()}),
		...(secret.value && {verify: {secrets: [secret.value]}}),
		...(token.value && {verify_token: token.value}),
		...(body.value === "raw" && {body: "raw"}),
		...(headers.value.trim() && {raw_headers: headers.value.trim().split(/[, ]+/)}),
	}));
}

export async function sources(view) {
	const box = h("div", {class: "stack"});

	const rotate = async (s) => {
		if (!await confirm("Draw a new URL?", "The old one is closed at once: the sender needs the new one.", "New URL"))
			return;
		showPaste(await post(path`/sources/${s.id}/rotate`));
		await load();
	};

	const remove = async (s) => {
		if (!await confirm("Remove the source?", "Its URL is closed. Its events stay.", "Remove"))
			return;
		await call("DELETE", path`/sources/${s.id}`);
		say("The source is removed.");
		await load();
	};

	const row = (s) => {
		const r = s.received;
		return [
			[brief(s.name, 60, "strong"), h("span", {class: "note under"}, data(s.preset ?? "no preset"),
				typeof s.session === "string" && [", session ", data(s.session)], s.body === "raw" && ", raw",
				s.configured && ", in the configuration")],
			s.path === null ? h("span", null, "stream ", data(s.stream)) : copyable(null, urlOf(s.path), s.name),
			s.enabled === false ? h("span", null, badge("disabled"), s.problem && [" ", brief(s.problem, 100)]) : h("span", null, count(r.events), r.last_at && [", ", ago(r.last_at)]),
			r.missed ? h("b", null, count(r.missed)) : "–",
			r.refused ? h("span", {class: "why"}, count(r.refused), ", ", ago(r.last_refused_at), ": ",
				brief(r.last_refused, 100)) : "–",
			s.configured ? "–" : h("span", {class: "links"},
				s.path !== null && button("New URL", () => rotate(s), "", {"data-k": "rotate-" + s.id}),
				button("Remove", () => remove(s), "danger", {"data-k": "remove-" + s.id})),
		];
	};

	const load = async () => {
		const list = await allOf("/sources", "sources", view.signal);
		swap(box, table("Sources", ["Source", "URL", "Events", "Missed", "Refused", ["Change"]], list.map(row),
			"No source yet. Add one for a gateway, or for Meta, GitHub and the like."));
	};

	await load();
	view.draw("Sources",
		h("div", {class: "head"}, h("h1", {tabindex: "-1"}, "Sources"),
			action("Add a source", async () => {
				const made = await addSource();
				if (!made)
					return;
				await load();
				showPaste(made);
			}, "primary", {"data-k": "add"})),
		card(null, h("p", {class: "note"}, "Each is a URL that a sender posts to, without a token. Counts are since the start; ",
			"missed: the session or the event was not where it should be."), box));
	view.every(10000, load);
}
