// The player: the state, the controls, and what ties all together.

const data = JSON.parse(byId("data").textContent);
const { surface, rules, starts } = data;
const picture = new Picture(byId("picture"), surface, rules);
const curve = new Curve(byId("curve"), surface, rules);
const named = rules.findIndex(({ label }) => `#${label.toLowerCase()}` === location.hash.toLowerCase());
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const state = {
  t: 1, start: 0, timer: 0,
  shown: new Set(rules.length > 2 ? [Math.max(named, 0)] : rules.keys()),
  arrows: new Set(KINDS), numbers: data.shape.length < 2, code: false,
};

const point = (kind) => (picture.svg.dataset.only = kind);
const boxes = rules.map((rule, i) => new Box(byId("boxes"), rule, i, point));

// ---------------------------------------------------------------- showing a step

function steps() {
  return Math.max(...rules.map((rule) => rule.runs[state.start].steps));
}

const ARROWS = { gradient: "−∇f", momentum: "", step: "step" };

function show() {
  const t = (state.t = Math.max(0, Math.min(state.t, steps())));
  picture.show(t, state.shown, state.arrows);
  curve.show(t, state.shown);
  rules.forEach((rule, i) => {
    boxes[i].panel.hidden = !state.shown.has(i);
    if (state.shown.has(i)) boxes[i].show(rule.runs[state.start], t);
  });
  const said = [...state.shown].map((i) => {
    const run = curve.runs[i], f = run.f[Math.min(t, run.steps)] + surface.bottom;
    return `${rules.length > 1 ? `${rules[i].label}: ` : ""}f = ${short(f)}`;
  }).join(", ");
  byId("step").value = t;
  byId("step").setAttribute("aria-valuetext", `step ${t} of ${steps()}, ${said}`);
  byId("where").textContent = `step ${t} of ${steps()}`;
  byId("loss").textContent = said;
  for (const kind of KINDS) {
    const sizes = [...state.shown].map((i) => {
      const vector = picture.vector(kind, rules[i], rules[i].runs[state.start], t);
      return vector ? short(Math.hypot(...vector)) : "–";
    });
    byId(`size-${kind}`).textContent = sizes.join(" · ");
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

for (const kind of KINDS) {
  const button = make(byId("arrows"), "button", { class: "chip", "aria-pressed": true });
  const size = { viewBox: "0 0 34 14", width: 34, height: 14 };
  const svg = draw(button, "svg", { class: `arrow ${kind}`, ...size, "aria-hidden": "true" });
  draw(svg, "path", { d: "M1 7H25" });
  draw(svg, "path", { d: `M23 2L33 7L23 12${kind === "gradient" ? "" : "z"}`, class: "tip" });
  make(button, "span", { id: `letter-${kind}` }, ARROWS[kind]);
  make(button, "span", { id: `size-${kind}`, class: "quiet size" });
  button.hidden = kind === "momentum" && !rules.some((rule) => rule.momentum);
  button.addEventListener("click", () => {
    if (!state.arrows.delete(kind)) state.arrows.add(kind);
    button.setAttribute("aria-pressed", state.arrows.has(kind));
    show();
  });
}
make(byId("arrows"), "span", { class: "quiet hint" }, "arrows: lengths are logarithmic");

if (rules.length > 2) {
  rules.forEach((rule, i) => {
    const button = make(byId("chips"), "button", { class: "chip", "aria-pressed": state.shown.has(i) });
    swatch(button, rule, i, 28);
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

let width = 0;
new ResizeObserver(([{ contentRect }]) => {
  if (Math.abs(contentRect.width - width) < 1) return;
  width = contentRect.width;
  resize();
}).observe(byId("picture"));
width = byId("picture").clientWidth;
resize();
play(false);

// Inside a notebook: the height that is needed goes out, the notebook's theme comes in.
addEventListener("message", ({ data: { npoptim: theme } = {} }) => {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
});
if (parent !== window) {
  const root = document.documentElement;
  new ResizeObserver(() => parent.postMessage({ npoptim: root.offsetHeight }, "*")).observe(root);
}
