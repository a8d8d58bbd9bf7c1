/* The dead letters of a session, or of all: why each was given up, and the way to send many again. */
import {ALL, call, each, hooksPath, page, path, post, query} from "./api.js";
import {action, brief, button, card, confirm, count, data, facts, h, mono, say, swap, when, whose} from "./dom.js";
import {eventLink, payload} from "./delivery.js";
import {sessionBar} from "./sessions.js";

export async function deadLetters(view) {
	const session = view.params.s;
	const at = session ? `${hooksPath(session)}/dlq` : "/dlq";
	const event = h("input", {id: "event", value: view.search.get("event") ?? "", placeholder: "any event", autocomplete: "off",
		spellcheck: "false", size: 14, onchange: () => load(true)});
	const webhook = view.search.get("webhook") ?? "";
	const picked = new Set();
	const list = h("ul", {class: "letters", "aria-label": "Dead letters"});
	const foot = h("div");
	const told = h("p", {class: "note", role: "status"});
	let entries = [];
	let cursor = null;

	const all = h("input", {type: "checkbox", id: "all", onchange: () => {
		for (const e of entries)
			all.checked ? picked.add(e.id) : picked.delete(e.id);
		draw();
	}});
	const replayPicked = action("Replay selected", () => run("replayed", (id) => post(`${at}/${id}/replay`)), "primary");
	const dropPicked = action("Delete selected", async () => {
		if (await confirm("Delete these dead letters?", `${count(picked.size)} are lost for good.`, "Delete"))
			await run("deleted", (id) => call("DELETE", `${at}/${id}`));
	}, "danger");

	/* Does it for all that are picked; those that fail stay, and the first reason is told. */
	const run = async (done, work) => {
		const ids = [...picked];
		let failed = null;
		let worked = 0;
		await each(ids, async (id) => {
			try {
				await work(id);
				entries = entries.filter((e) => e.id !== id);
				picked.delete(id);
				told.textContent = `${count(++worked)} of ${count(ids.length)} ${done}`;
			} catch (error) {
				failed ??= error;
			}
		});
		draw();
		say(`${count(worked)} dead letters ${done}.`);
		if (failed)
			say(failed.message, true);
	};
	const whole = async (method, rest) => {
		let cursor = null;
		do {
			const answer = await call(method, at + rest + query({webhook_id: webhook, cursor}));
			cursor = answer.next_cursor;
			say(answer.message);
		} while (cursor);
		await load(true);
	};

	const letter = (e) => {
		const check = h("input", {type: "checkbox", "aria-label": `Select ${e.event}, ${e.id}`, checked: picked.has(e.id),
			"data-k": e.id, "data-needs": "change", onchange: () => { check.checked ? picked.add(e.id) : picked.delete(e.id); tell(); }});
		const more = h("details", {ontoggle: () => {
			if (more.open && more.children.length === 1) {
				more.append(facts([
					["Event", eventLink(e.session_id, e.event_id)],
					["Delivery", h("a", {href: path`#/s/${e.session_id}/deliveries/${e.delivery_id}`}, "its attempts")],
					["Webhook", h("a", {href: path`#/s/${session ?? e.session_id}/webhooks/${e.webhook_id}`}, brief(e.webhook_url, 100))],
					["Id", mono(e.id)],
				]), ...(e.payload === null ? [h("p", null, "The store could not give the body back.")] : payload(e.payload)));
			}
		}}, h("summary", null, !session && [data(e.session_id), ": "], h("b", null, data(e.event)), " to ", brief(e.webhook_url, 60),
			h("span", {class: "why"}, brief(e.last_error ?? "", 140)),
			h("span", {class: "note"}, `${count(e.attempts)} attempts, given up `, when(e.failed_at))));
		return h("li", null, check, more);
	};
	const tell = () => {
		told.textContent = picked.size ? `${count(picked.size)} of ${count(entries.length)} selected`
			: `${count(entries.length)}${cursor ? " or more" : ""} dead letters`;
		replayPicked.disabled = dropPicked.disabled = picked.size === 0;
		all.checked = entries.length > 0 && picked.size === entries.length;
	};
	const draw = () => {
		swap(list, entries.map(letter));
		swap(foot, entries.length === 0 && h("p", {class: "empty"}, "No dead letters: nothing was given up."),
			cursor && button("Load more", () => load(false), "more", {"data-k": "more"}));
		tell();
	};
	const load = async (anew) => {
		if (anew) {
			entries = [];
			picked.clear();
			cursor = null;
			view.remember({webhook, event: event.value.trim()});
		}
		const answer = await page(at, {webhook_id: webhook, event: event.value.trim(), limit: 50, cursor}, "entries", view.signal);
		entries.push(...answer.items);
		cursor = answer.cursor;
		draw();
	};
	await load(true);
	view.draw("Dead letters", h("h1", {tabindex: "-1"}, "Dead letters of ", whose(session ?? ALL)),
		sessionBar(view, "dead"),
		webhook && h("p", {class: "banner"}, "Only those of webhook ", mono(webhook), ". ",
			h("a", {href: session ? path`#/s/${session}/dead` : "#/dead"}, "Show all")),
		card(null, h("div", {class: "bar"}, h("label", {class: "check", for: "all", "data-needs": "change"}, all, "all shown"), replayPicked, dropPicked,
			action("Replay all", async () => {
				if (await confirm("Replay all dead letters?", "All of them are sent again, in the background; each keeps its event id.", "Replay all"))
					await whole("POST", "/replay");
			}),
			session && action("Purge all", async () => {
				if (await confirm("Purge all dead letters?", "They are lost for good.", "Purge all"))
					await whole("DELETE", "");
			}, "danger"),
			h("label", {for: "event", class: "sr"}, "Event"), event,
			button("Refresh", () => load(true)), told), list, foot));
}
