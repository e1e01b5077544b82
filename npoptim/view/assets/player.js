// The player: the box with its numbers, the controls, and what ties all together.

const data = JSON.parse(document.getElementById("data").textContent);
const { surface, rules, starts } = data;
const byId = (id) => document.getElementById(id);
const picture = new Picture(byId("picture"), surface, rules);
const curve = new Curve(byId("curve"), surface, rules, data.steps);
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const state = {
  t: 1, start: 0, timer: 0,
  shown: new Set(rules.length > 2 ? [0] : rules.keys()),
  arrows: new Set(KINDS), numbers: data.shape.length < 2, code: false,
};

function make(parent, name, attributes = {}, text = "") {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return parent.appendChild(node);
}

function swatch(parent, i, width = 34) {
  const svg = draw(parent, "svg", { class: "swatch", viewBox: `0 0 ${width} 14`, width, height: 14, "aria-hidden": "true", style: `--own:var(--rule${i})` });
  draw(svg, "path", { d: `M1 7H${width - 1}`, class: "done", "stroke-dasharray": rules[i].dashes.map((d) => 2 * d).join(" ") });
  draw(svg, "path", { d: marker(rules[i].marker, width / 2, 7, 5.5), class: "head" });
}

// ---------------------------------------------------------------- the box

const boxes = rules.map((rule, i) => {
  const panel = make(byId("boxes"), "article", { class: "box", "aria-label": rule.label });
  const heading = make(panel, "h2");
  swatch(heading, i);
  make(heading, "span", {}, rule.label);
  make(panel, "p", { class: "quiet repr" }, rule.repr);
  const note = make(panel, "p", { class: "note" });
  const list = make(panel, "ol", { class: "lines" });
  const lines = rule.lines.map((line) => {
    const item = make(list, "li", { class: `line ${line.arrow || ""} ${line.once ? "once" : ""}` });
    make(item, "span", { class: "number" }, line.number ?? "");
    const text = make(item, "div", { class: "text" });
    make(text, "div", { class: "formula" }, line.box || line.code.join("; "));
    const put = make(text, "div", { class: "put" });
    if (line.box) make(text, "code", { class: "code" }, line.code.join("\n"));
    const values = make(item, "div", { class: "values" });
    if (line.arrow) {
      item.addEventListener("pointerenter", () => (picture.svg.dataset.only = line.arrow));
      item.addEventListener("pointerleave", () => delete picture.svg.dataset.only);
    }
    return { put, values, cells: line.values.map((value) => {
      const cell = make(values, "span", { class: "value" });
      make(cell, "span", { class: "quiet" }, `${value.letter} = `);
      return make(cell, "span");
    }) };
  });
  return { panel, note, lines, maps: rule.maps.map((map) => heatmap(panel, map)) };
});

function fillBox(rule, run, box, t) {
  const now = Math.min(t, run.steps), known = before(rule, run, Math.max(now, 1));
  box.note.textContent = run.note && t >= run.steps ? run.note : "";
  rule.lines.forEach((line, i) => {
    const { put, cells } = box.lines[i], idle = now < 1 && !line.once && !line.given;
    if (line.holes.length) put.textContent = idle ? "" : `= ${filled(line.holes, known)}`;
    line.values.forEach((value, k) => {
      const at = idle ? null : valueAt(rule, run, i, k, Math.max(now, 1));
      cells[k].textContent = at ? written(at, "\n ") : "–";
      if (at && !line.once) known[value.name] = at;
    });
  });
  box.maps.forEach((fill) => fill(known, now));
}

// ---------------------------------------------------------------- heat maps

// v beside the R and C that make it: rows on the left, columns on top.
function heatmap(panel, { product, rows, columns: across }) {
  const figure = make(panel, "figure", { class: "map" });
  make(figure, "figcaption", {}, `${product[1]} is computed from ${rows[1]} and ${across[1]}; only these are kept`);
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
    make(tr, "th");
  }
  const foot = make(table, "tr");
  make(foot, "th", { scope: "col" }, rows[1]);
  make(foot, "th", { colspan: n, scope: "colgroup" }, product[1]);
  return (known, t) => {
    for (const [name, tds] of Object.entries(cells)) {
      const now = t > 0 && known[name] ? Array.from(known[name].data) : [];
      const logs = now.filter((x) => x > 0).map(Math.log), low = Math.min(...logs), high = Math.max(...logs);
      tds.forEach((td, i) => {
        const share = now[i] > 0 && high > low ? (Math.log(now[i]) - low) / (high - low) : 0.5;
        td.textContent = now.length ? short(now[i]) : "–";
        td.style.setProperty("--share", `${Math.round(8 + 72 * share)}%`);
        td.classList.toggle("dark", share > 0.5);
      });
    }
  };
}

// ---------------------------------------------------------------- showing a step

function steps() {
  return Math.max(...rules.map((rule) => rule.runs[state.start].steps));
}

const LETTERS = { gradient: "−∇f", momentum: "", step: "step" };

function show() {
  const t = (state.t = Math.max(0, Math.min(state.t, steps())));
  picture.show(t, state.shown, state.arrows);
  curve.show(t, state.shown);
  rules.forEach((rule, i) => {
    boxes[i].panel.hidden = !state.shown.has(i);
    if (state.shown.has(i)) fillBox(rule, rule.runs[state.start], boxes[i], t);
  });
  const losses = rules.map((rule, i) => [rule, curve.runs[i].f[Math.min(t, curve.runs[i].steps)] + surface.bottom]);
  const said = losses.filter((_, i) => state.shown.has(i)).map(([rule, f]) =>
    `${rules.length > 1 ? `${rule.label}: ` : ""}f = ${short(f)}`).join(", ");
  byId("step").value = t;
  byId("step").setAttribute("aria-valuetext", `step ${t} of ${steps()}, ${said}`);
  byId("where").textContent = `step ${t} of ${steps()}`;
  byId("loss").textContent = said;
  for (const kind of KINDS) {
    const sizes = [...state.shown].map((i) => picture.vector(kind, rules[i], rules[i].runs[state.start], t));
    byId(`size-${kind}`).textContent = sizes.map((v) => (v ? short(Math.hypot(...v)) : "–")).join(" · ");
  }
  const moments = [...state.shown].map((i) => rules[i].momentum).filter(Boolean);
  byId("letter-momentum").textContent = [...new Set(moments)].join(" ") || "momentum";
  if (!state.timer) say(`Step ${t} of ${steps()}. ${said}.`);
}

let saying = 0;
function say(text) {
  clearTimeout(saying);
  saying = setTimeout(() => (byId("said").textContent = text), 300);
}

function go(t) {
  state.t = t;
  show();
}

function begin(start) {
  state.start = start;
  byId("start").value = start;
  rules.forEach((rule) => (rule.runs[start].start = { shape: data.shape, data: starts[start].p }));
  byId("step").max = steps();
  picture.load(start);
  curve.load(start, (u) => picture.inside(u));
  show();
}

function resize() {
  picture.layout(starts);
  begin(state.start);
}

// ---------------------------------------------------------------- playing

function play(on) {
  cancelAnimationFrame(state.timer);
  state.timer = 0;
  if (on && state.t >= steps()) state.t = 0;
  const button = byId("play");
  button.setAttribute("aria-label", on ? "pause" : "play");
  button.querySelector("path").setAttribute("d", on ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4 2v12l10-6z");
  if (!on) return show();
  let since = performance.now(), from = state.t;
  const frame = (now) => {
    const t = from + Math.floor(((now - since) / 1000) * byId("speed").value);
    if (t >= steps()) {
      state.t = steps();
      return play(false);
    }
    state.timer = requestAnimationFrame(frame);
    if (t !== state.t) go(t);
  };
  byId("speed").onchange = () => ([since, from] = [performance.now(), state.t]);
  state.timer = requestAnimationFrame(frame);
}

function pause(t) {
  state.t = t;
  play(false);
}

// ---------------------------------------------------------------- controls

function toggle(parent, set, key, label) {
  const button = make(parent, "button", { class: "chip", "aria-pressed": set.has(key) });
  button.append(...label);
  button.addEventListener("click", () => {
    set.has(key) ? set.delete(key) : set.add(key);
    button.setAttribute("aria-pressed", set.has(key));
    show();
  });
  return button;
}

for (const kind of KINDS) {
  const button = toggle(byId("arrows"), state.arrows, kind, []);
  const svg = draw(button, "svg", { class: `arrow ${kind}`, viewBox: "0 0 34 14", width: 34, height: 14, "aria-hidden": "true" });
  draw(svg, "path", { d: "M1 7H25" });
  draw(svg, "path", { d: `M23 2L33 7L23 12${kind === "gradient" ? "" : "z"}`, class: "tip" });
  make(button, "span", { id: `letter-${kind}` }, LETTERS[kind]);
  make(button, "span", { id: `size-${kind}`, class: "quiet size" });
  button.hidden = kind === "momentum" && !rules.some((rule) => rule.momentum);
}
make(byId("arrows"), "span", { class: "quiet hint" }, "arrows: lengths are logarithmic");

if (rules.length > 2) {
  rules.forEach((rule, i) => {
    const button = make(byId("chips"), "button", { class: "chip", "aria-pressed": state.shown.has(i) });
    swatch(button, i, 28);
    make(button, "span", {}, rule.label);
    button.addEventListener("click", () => {
      state.shown = new Set([i]);
      [...byId("chips").children].forEach((chip, k) => chip.setAttribute("aria-pressed", k === i));
      show();
    });
  });
}

const views = make(byId("boxes"), "div", { class: "chips views", role: "group", "aria-label": "in the box" });
byId("boxes").prepend(views);
for (const [key, label] of [["numbers", "numbers put in"], ["code", "code"]]) {
  const button = make(views, "button", { class: "chip", "aria-pressed": state[key] }, label);
  button.addEventListener("click", () => {
    state[key] = !state[key];
    button.setAttribute("aria-pressed", state[key]);
    byId("boxes").classList.toggle(`no-${key}`, !state[key]);
  });
  byId("boxes").classList.toggle(`no-${key}`, !state[key]);
}

starts.forEach(({ u }, i) => make(byId("start"), "option", { value: i }, `○ (${plain(u[0])}, ${plain(u[1])})`));
byId("start").hidden = starts.length < 2;
byId("start").addEventListener("change", (event) => begin(+event.target.value));
byId("speed").value = still ? 2 : 30;
byId("step").addEventListener("input", ({ target }) => pause(+target.value));
byId("first").addEventListener("click", () => pause(0));
byId("last").addEventListener("click", () => pause(steps()));
byId("back").addEventListener("click", () => pause(state.t - 1));
byId("forward").addEventListener("click", () => pause(state.t + 1));
byId("play").addEventListener("click", () => play(!state.timer));
picture.svg.addEventListener("click", (event) => begin(picture.nearest(event, starts)));
curve.svg.addEventListener("pointerdown", (event) => {
  curve.svg.setPointerCapture(event.pointerId);
  pause(curve.stepAt(event));
});
curve.svg.addEventListener("pointermove", (event) => event.buttons && go(curve.stepAt(event)));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  if (event.key === " " && event.target.matches("button")) return;
  const far = event.shiftKey ? 10 : 1;
  const keys = {
    " ": () => play(!state.timer),
    ArrowLeft: () => pause(state.t - far),
    ArrowRight: () => pause(state.t + far),
    Home: () => pause(0),
    End: () => pause(steps()),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

byId("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.dataset.theme || (dark ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
});

// Inside a notebook: the height that is needed goes out, the notebook's theme comes in.
addEventListener("message", ({ data: { npoptim: theme } = {} }) => {
  if (theme) document.documentElement.dataset.theme = theme;
});
if (parent !== window) {
  new ResizeObserver(() => parent.postMessage({ npoptim: document.documentElement.offsetHeight }, "*")).observe(document.documentElement);
}

let width = 0;
new ResizeObserver(([{ contentRect }]) => {
  if (Math.abs(contentRect.width - width) < 1) return;
  width = contentRect.width;
  resize();
}).observe(byId("picture"));
width = byId("picture").clientWidth;
resize();
play(false);
