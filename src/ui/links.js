/* Links for a tenant: one is made and shown, all of a session are revoked. */
import {call, path, post, urlOf} from "./api.js";
import {button, confirm, dialog, h, say} from "./dom.js";
import {ask, choice, copyable, field} from "./form.js";

async function makeLink(at) {
	const lasts = choice("1h", [["15m", "15 minutes"], ["1h", "an hour"], ["8h", "8 hours"], ["24h", "a day"]]);
	const reads = choice("true", [["true", "look"], ["false", "look and change"]]);
	const made = await ask("A link for the tenant", "Make", [
		h("p", {class: "note"}, "Whoever has it opens the dashboard of this session alone."),
		field("expires_in", "It lasts", lasts),
		field("read_only", "To", reads),
	], () => post(at, {expires_in: lasts.value, read_only: reads.value === "true"}));
	if (!made)
		return;
	const box = dialog("The link", h("p", null, "It is shown this once."), copyable("The link", urlOf("/ui/#token=" + made.token)),
		h("p", {class: "actions"}, button("Done", () => box.close(), "primary")));
}

export function linkBar(session) {
	const at = path`/sessions/${session}/portal`;
	return h("span", {class: "links", "data-needs": "link"},
		button("Link for the tenant…", () => makeLink(at), "", {"data-k": "link"}),
		button("Revoke all links", async () => {
			if (await confirm("Revoke all links?", "Whoever has one to this session is shut out at once.", "Revoke all"))
				say((await call("DELETE", at)).message);
		}, "danger", {"data-k": "revoke"}));
}
