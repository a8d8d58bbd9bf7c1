/* Lines over time, drawn with SVG; the values at a moment with the pointer or the arrow keys. */
import {h, svg, when} from "./dom.js";

const WIDTH = 600;
const HEIGHT = 130;

/* A round number at or above n. */
function ceiling(n) {
	if (!(n > 0))
		return 1;
	const unit = 10 ** Math.floor(Math.log10(n));
	return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((k) => k * unit >= n * 0.9999) * unit;
}

function pathOf(points, x, y) {
	let d = "";
	let pen = "M";
	for (const p of points) {
		if (p.value === null || p.value === undefined) {
			pen = "M";
			continue;
		}
		d += `${pen}${x(p.at).toFixed(1)} ${y(p.value).toFixed(1)}`;
		pen = "L";
	}
	return d;
}

/*
 * `series`: [{name, cls, values, area}], one value a moment of `times` (ms); `form` writes a value.
 * `key` keeps the focus over a redraw.
 */
export function chart(title, key, times, series, form) {
	const last = times.length - 1;
	const top = ceiling(Math.max(...series.flatMap((s) => s.values).filter((v) => v !== null), 0));
	const from = Math.min(times[0] ?? 0, (times[last] ?? 0) - 300000);
	const x = (t) => (t - from) / Math.max(1, times[last] - from) * WIDTH;
	const y = (v) => HEIGHT - 1 - v / top * (HEIGHT - 8);
	const legend = series.map((s) => h("b", {class: "value"}));
	const at = h("span", {class: "at"});
	const mark = svg("line", {class: "mark", y1: 0, y2: HEIGHT, x1: -9, x2: -9});
	const shapes = series.map((s) => {
		const points = s.values.map((value, i) => ({at: times[i], value}));
		const d = pathOf(points, x, y);
		return [
			s.area && d && svg("path", {class: "area " + s.cls,
				d: `${d}L${WIDTH} ${HEIGHT}L${x(times[0]).toFixed(1)} ${HEIGHT}Z`}),
			svg("path", {class: "line " + s.cls, d}),
		];
	});
	const picture = svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
		"aria-hidden": "true"},
		[0.25, 0.5, 0.75].map((k) => svg("line", {class: "grid", x1: 0, x2: WIDTH, y1: y(top * k), y2: y(top * k)})),
		shapes, mark);
	let shown = last;
	const show = (i) => {
		shown = Math.max(0, Math.min(last, i));
		series.forEach((s, k) => { legend[k].textContent = last < 0 ? "–" : form(s.values[shown]); });
		at.replaceChildren(shown === last ? "" : when(new Date(times[shown]).toISOString()));
		const place = shown === last ? -9 : x(times[shown]);
		mark.setAttribute("x1", place);
		mark.setAttribute("x2", place);
		plot.setAttribute("aria-valuenow", shown);
		plot.setAttribute("aria-valuetext", `${at.textContent || "now"}: ` +
			series.map((s, k) => `${s.name} ${legend[k].textContent}`).join(", "));
	};
	const plot = h("div", {
		class: "plot", tabindex: "0", role: "slider", "aria-label": title + ", over time",
		"aria-valuemin": 0, "aria-valuemax": Math.max(0, last), "data-k": "chart-" + key,
		onpointermove: (event) => {
			const box = plot.getBoundingClientRect();
			const t = from + (event.clientX - box.left) / box.width * (times[last] - from);
			const next = times.findIndex((time) => time >= t);
			show(next < 0 ? last : next);
		},
		onpointerleave: () => show(last),
		onblur: () => show(last),
		onkeydown: (event) => {
			const step = {ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -last, End: last}[event.key];
			if (step === undefined)
				return;
			event.preventDefault();
			show(shown + step);
		},
	}, picture, h("span", {class: "top"}, form(top)));
	show(last);
	const minutes = Math.round((times[last] - from) / 60000);
	return h("figure", {class: "card chart"},
		h("figcaption", null, h("h2", null, title), h("p", {class: "legend"},
			series.map((s, k) => h("span", {class: s.cls}, s.name + " ", legend[k])), at)),
		plot,
		h("p", {class: "axis", "aria-hidden": "true"}, h("span", null, `${minutes || 0} min ago`), h("span", null, "now")));
}
