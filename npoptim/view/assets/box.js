// The box: its lines, every one with its numbers; and the heat maps of what is factored.

const byId = (id) => document.getElementById(id);

function make(parent, name, attributes = {}, text = "") {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return parent.appendChild(node);
}

// How a rule is drawn: its line and its marker.
function swatch(parent, rule, i, width = 34) {
  const svg = draw(parent, "svg", {
    class: "swatch", viewBox: `0 0 ${width} 14`, width, height: 14, "aria-hidden": "true", ...ownColour(i),
  });
  draw(svg, "path", { d: `M1 7H${width - 1}`, class: "done", ...dashes(rule) });
  draw(svg, "path", { d: marker(rule.marker, width / 2, 7, 5.5), class: "head" });
}

class Box {
  // `point` is told the kind of the arrow whose line the pointer is on, "" when it leaves.
  constructor(parent, rule, i, point) {
    this.rule = rule;
    this.panel = make(parent, "article", { class: "box", "aria-label": rule.label });
    const heading = make(this.panel, "h2");
    swatch(heading, rule, i);
    make(heading, "span", {}, rule.label);
    make(this.panel, "p", { class: "quiet repr" }, rule.repr);
    this.note = make(this.panel, "p", { class: "note" });
    const list = make(this.panel, "ol", { class: "lines" });
    this.lines = rule.lines.map((line) => this.addLine(list, line, point));
    this.maps = rule.maps.map((map) => heatmap(this.panel, map));
  }

  addLine(list, line, point) {
    const item = make(list, "li", { class: `line ${line.arrow || ""} ${line.once ? "once" : ""}` });
    make(item, "span", { class: "number" }, line.number ?? "");
    const text = make(item, "div", { class: "text" });
    make(text, "div", { class: "formula" }, line.box || line.code.join("; "));
    const put = make(text, "div", { class: "put" });
    if (line.box) make(text, "code", { class: "code" }, line.code.join("\n"));
    const values = make(item, "div", { class: "values" });
    if (line.arrow) {
      item.addEventListener("pointerenter", () => point(line.arrow));
      item.addEventListener("pointerleave", () => point(""));
    }
    const cells = line.values.map((value) => {
      const cell = make(values, "span", { class: "value" });
      make(cell, "span", { class: "quiet" }, `${value.letter} = `);
      return make(cell, "span");
    });
    return { put, cells };
  }

  // The numbers of step t, or of the last one where the run ended before.
  show(run, t) {
    const now = Math.min(t, run.steps), step = Math.max(now, 1), known = before(this.rule, run, step);
    this.note.textContent = run.note && t >= run.steps ? run.note : "";
    this.rule.lines.forEach((line, i) => {
      const { put, cells } = this.lines[i], idle = run.steps < 1 || (now < 1 && !line.once && !line.given);
      if (line.holes.length) put.textContent = idle ? "" : `= ${filled(line.holes, known)}`;
      line.values.forEach((value, k) => {
        const at = idle ? null : valueAt(this.rule, run, i, k, step);
        cells[k].textContent = at ? written(at, "\n ") : "–";
        if (at && !line.once) known[value.name] = at;
      });
    });
    this.maps.forEach((fill) => fill(known, now));
  }
}

// v beside the R and C that make it: rows on the left, columns on top. Every one of the three has
// its own logarithmic scale.
function heatmap(panel, { product, rows, columns: across }) {
  const figure = make(panel, "figure", { class: "map" });
  const words = `${product[1]} is computed from ${rows[1]} and ${across[1]}; only these are kept`;
  make(figure, "figcaption", {}, words);
  const table = make(figure, "table"), cells = { [product[0]]: [], [rows[0]]: [], [across[0]]: [] };
  const cell = (tr, name) => cells[name].push(make(tr, "td"));
  const [m, n] = product[2], head = make(table, "tr");
  make(head, "th");
  for (let j = 0; j < n; j++) cell(head, across[0]);
  make(head, "th", { scope: "row" }, across[1]);
  for (let i = 0; i < m; i++) {
    const tr = make(table, "tr");
    cell(tr, rows[0]);
    for (let j = 0; j < n; j++) cell(tr, product[0]);
  }
  const foot = make(table, "tr");
  make(foot, "th", { scope: "col" }, rows[1]);
  make(foot, "th", { colspan: n, scope: "colgroup" }, product[1]);
  return (known, t) => {
    for (const [name, tds] of Object.entries(cells)) {
      const now = t > 0 && known[name] ? Array.from(known[name].data) : [];
      const logs = now.filter((x) => x > 0).map(Math.log);
      const low = Math.min(...logs), high = Math.max(...logs);
      tds.forEach((td, i) => {
        const share = now[i] > 0 && high > low ? (Math.log(now[i]) - low) / (high - low) : 0.5;
        td.textContent = now.length ? short(now[i]) : "–";
        td.style.setProperty("--share", `${Math.round(8 + 72 * share)}%`);
        td.classList.toggle("dark", share > 0.72);
      });
    }
  };
}
