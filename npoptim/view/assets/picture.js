// The picture: contours, paths, arrows; and below it the loss.

const SVG = "http://www.w3.org/2000/svg";
const GRID = 2000;  // units of the contours, both ways
const KINDS = ["gradient", "momentum", "step"];

function draw(parent, name, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return parent.appendChild(node);
}

const ownColour = (i) => ({ style: `--own:var(--rule${i})` });
const dashes = (rule) => ({ "stroke-dasharray": rule.dashes.map((d) => 2 * d).join(" ") });

// Outlines of radius 1, by matplotlib's letters: [corners, turn], a cross with a third number.
const MARKERS = {
  o: [24, 0], s: [4, 45], D: [4, 0], d: [4, 0], "^": [3, 0], v: [3, 180], "<": [3, 270], ">": [3, 90],
  p: [5, 0], h: [6, 0], 8: [8, 22.5], P: [12, 0, 0.45], X: [12, 45, 0.45],
};

function marker(letter, x, y, r) {
  const [corners, turn, waist] = MARKERS[letter] || MARKERS.o;
  const points = [];
  for (let i = 0; i < corners; i++) {
    // of a cross every third corner lies near the middle
    let angle = (turn + (360 * i) / corners) * (Math.PI / 180), radius = r;
    if (waist !== undefined) {
      const arm = Math.floor(i / 3) * 90 + turn, inner = i % 3 === 2;
      const side = Math.atan2(waist / 2, 1) * (i % 3 ? 1 : -1);
      angle = (arm * Math.PI) / 180 + (inner ? Math.PI / 4 : side);
      if (inner) radius = r * waist * Math.SQRT1_2;
    }
    points.push([x + radius * Math.sin(angle), y - radius * Math.cos(angle)]);
  }
  return `M${points.map((p) => p.map((c) => c.toFixed(1)).join(" ")).join("L")}z`;
}

// Round numbers from low to high, about `count` of them.
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

const plain = (x) => String(+x.toPrecision(6)).replace("-", "−");

class Picture {
  constructor(figure, surface, rules) {
    Object.assign(this, { surface, rules, svg: figure.firstElementChild });
    this.ground = this.svg.querySelector("#ground");
    const clip = draw(draw(this.svg, "defs"), "clipPath", { id: "inside" });
    this.frame = draw(clip, "rect");
    this.axes = draw(this.svg, "g", { class: "axis" });
    this.marks = draw(this.svg, "g", { "clip-path": "url(#inside)" });
    this.lines = draw(this.svg, "g", { "clip-path": "url(#inside)" });
    this.starts = draw(this.svg, "g");
    this.heads = draw(this.svg, "g");
    this.arrows = draw(this.svg, "g", { class: "arrows" });
  }

  // Where a point of the plane lies; of far away only the direction counts.
  place(u) {
    const [[x0, x1], [y0, y1]] = this.surface.bounds;
    const x = ((u[0] - x0) / (x1 - x0) - 0.5) * this.width, y = (0.5 - (u[1] - y0) / (y1 - y0)) * this.height;
    const near = Math.min(1, 9000 / Math.max(Math.abs(x), Math.abs(y)));
    return [this.left + this.width / 2 + near * x, this.top + this.height / 2 + near * y];
  }

  inside(u) {
    return this.surface.bounds.every(([low, high], i) => u[i] >= low && u[i] <= high);
  }

  // The ground at the width there is.
  layout(starts) {
    const full = Math.max(240, this.svg.parentElement.clientWidth);
    Object.assign(this, { left: 38, top: 8, width: full - 46 });
    this.height = Math.round(this.width * this.surface.ratio);
    const height = this.top + this.height + 34;
    this.svg.setAttribute("viewBox", `0 0 ${full} ${height}`);
    this.svg.setAttribute("height", height);
    const box = { x: this.left, y: this.top, width: this.width, height: this.height };
    for (const [key, value] of Object.entries(box)) this.frame.setAttribute(key, value);
    this.ground.setAttribute("transform",
      `translate(${this.left} ${this.top}) scale(${this.width / GRID} ${this.height / GRID})`);
    this.drawAxes(box);
    this.drawMarks(starts);
  }

  drawAxes(box) {
    const [[x0, x1], [y0, y1]] = this.surface.bounds, bottom = this.top + this.height;
    this.axes.replaceChildren();
    draw(this.axes, "rect", { ...box, class: "frame" });
    for (const x of ticks(x0, x1, this.width / 90)) {
      const [at] = this.place([x, y0]);
      draw(this.axes, "path", { d: `M${at} ${bottom}v4` });
      draw(this.axes, "text", { x: at, y: bottom + 17, "text-anchor": "middle" }, plain(x));
    }
    for (const y of ticks(y0, y1, this.height / 60)) {
      const at = this.place([x0, y])[1];
      draw(this.axes, "path", { d: `M${this.left} ${at}h-4` });
      draw(this.axes, "text", { x: this.left - 7, y: at + 4, "text-anchor": "end" }, plain(y));
    }
    const [across, up] = this.surface.axes;
    draw(this.axes, "text", { x: this.left + this.width, y: bottom + 31, "text-anchor": "end", class: "name" }, across);
    draw(this.axes, "text", { x: 8, y: this.top + 12, class: "name" }, up);
  }

  drawMarks(starts) {
    this.marks.replaceChildren();
    this.starts.replaceChildren();
    for (const u of this.surface.minima) {
      const [x, y] = this.place(u), points = [];
      for (let i = 0; i < 10; i++) {
        const r = i % 2 ? 4 : 10, a = (i * Math.PI) / 5;
        points.push(`${(x + r * Math.sin(a)).toFixed(1)} ${(y - r * Math.cos(a)).toFixed(1)}`);
      }
      draw(draw(this.marks, "path", { d: `M${points.join("L")}z`, class: "minimum" }), "title", {}, "minimum");
    }
    this.rings = starts.map((start, i) => {
      const [x, y] = this.place(start.u);
      const ring = draw(this.starts, "circle", { cx: x, cy: y, r: 6, class: "start" });
      draw(ring, "title", {}, `start ${i + 1}`);
      return ring;
    });
  }

  nearest(event, starts) {
    const box = this.svg.getBoundingClientRect();
    const distances = starts.map(({ u }) => {
      const [x, y] = this.place(u);
      return Math.hypot(event.clientX - box.x - x, event.clientY - box.y - y);
    });
    return distances.indexOf(Math.min(...distances));
  }

  // Paths of the runs from one start.
  load(start) {
    this.rings.forEach((ring, i) => ring.classList.toggle("chosen", i === start));
    this.lines.replaceChildren();
    this.heads.replaceChildren();
    this.arrows.replaceChildren();
    this.paths = this.rules.map((rule, i) => {
      const run = rule.runs[start], { path } = columns(rule, run), points = [];
      for (let t = 0; t <= run.steps; t++) points.push(this.place(path.at(t)).map((c) => c.toFixed(1)).join(" "));
      const colour = ownColour(i);
      return {
        points,
        rule,
        run,
        whole: draw(this.lines, "polyline", { ...colour, class: "whole", points: points.join(" ") }),
        done: draw(this.lines, "polyline", { ...colour, class: "done", ...dashes(rule) }),
        head: draw(this.heads, "path", { ...colour, class: "head" }),
        arrows: KINDS.map((kind) => {
          const group = draw(this.arrows, "g", { class: `arrow ${kind}` });
          const halo = draw(group, "path", { class: "halo" }), line = draw(group, "path");
          return { halo, line, tip: draw(group, "path", { class: "tip" }) };
        }),
      };
    });
    this.ranges = Object.fromEntries(KINDS.map((kind) => [kind, this.range(kind)]));
  }

  // The vector of a kind at step t, in the plane; null where there is none.
  vector(kind, rule, run, t) {
    if (t < 1 || t > run.steps) return null;
    const all = columns(rule, run);
    if (kind === "gradient") return all.gradient.at(t - 1).map((x) => -x);
    if (kind === "momentum") return all.momentum && all.momentum.at(t - 1);
    const a = all.path.at(t - 1), b = all.path.at(t);
    return [b[0] - a[0], b[1] - a[1]];
  }

  // The least and largest length of a kind, over the steps that are in the picture.
  range(kind) {
    const sizes = [];
    for (const { rule, run } of this.paths) {
      for (let t = 1; t <= run.steps; t++) {
        const v = this.vector(kind, rule, run, t);
        if (v && this.inside(columns(rule, run).path.at(t - 1))) sizes.push(Math.hypot(...v));
      }
    }
    const high = Math.max(...sizes, 0);
    return [Math.max(Math.min(...sizes.filter(Boolean)), high * 1e-6), high];
  }

  show(t, shown, wanted) {
    this.paths.forEach(({ points, rule, run, whole, done, head, arrows }, i) => {
      const now = Math.min(t, run.steps), { path } = columns(rule, run), in_box = shown.has(i);
      done.setAttribute("points", points.slice(0, now + 1).join(" "));
      whole.classList.toggle("aside", !in_box);
      done.classList.toggle("aside", !in_box);
      head.classList.toggle("aside", !in_box);
      const u = path.at(now), [[x0, x1], [y0, y1]] = this.surface.bounds;
      // one that has left the picture waits at its edge, hollow
      const at = this.place([Math.max(x0, Math.min(x1, u[0])), Math.max(y0, Math.min(y1, u[1]))]);
      head.setAttribute("d", marker(rule.marker, ...at, in_box ? 7 : 5));
      head.classList.toggle("outside", !this.inside(u));
      KINDS.forEach((kind, k) => {
        const vector = in_box && wanted.has(kind) && now === t && this.vector(kind, rule, run, t);
        this.point(arrows[k], kind, vector, t && path.at(t - 1));
      });
    });
  }

  point({ halo, line, tip }, kind, vector, from) {
    const size = vector ? Math.hypot(...vector) : 0, on = size > 0 && this.inside(from);
    line.parentNode.style.display = on ? "" : "none";
    if (!on) return;
    const [[x0, x1], [y0, y1]] = this.surface.bounds, [low, high] = this.ranges[kind];
    const share = high > low ? Math.log(Math.max(size / low, 1)) / Math.log(high / low) : 1;
    const length = (22 + 66 * Math.min(share, 1)) * Math.min(1, this.width / 480);
    const dx = (vector[0] / (x1 - x0)) * this.width, dy = (-vector[1] / (y1 - y0)) * this.height;
    const ex = dx / Math.hypot(dx, dy), ey = dy / Math.hypot(dx, dy), [x, y] = this.place(from);
    const end = (l, side = 0) => `${(x + l * ex - side * ey).toFixed(1)} ${(y + l * ey + side * ex).toFixed(1)}`;
    const wide = { gradient: 4.5, momentum: 5, step: 5.5 }[kind];
    const shaft = `M${end(0)}L${end(length - 8)}`;
    const point = `M${end(length - 10, wide)}L${end(length)}L${end(length - 10, -wide)}`;
    halo.setAttribute("d", shaft + point);
    line.setAttribute("d", shaft);
    tip.setAttribute("d", point + (kind === "gradient" ? "" : "z"));
  }
}

class Curve {
  constructor(figure, surface, rules) {
    Object.assign(this, { surface, rules, svg: figure.firstElementChild, left: 52, top: 10 });
    this.axes = draw(this.svg, "g", { class: "axis" });
    this.frame = draw(draw(draw(this.svg, "defs"), "clipPath", { id: "within" }), "rect");
    this.now = draw(this.svg, "path", { class: "now" });
    this.lines = draw(this.svg, "g", { "clip-path": "url(#within)" });
    this.heads = draw(this.svg, "g", { "clip-path": "url(#within)" });
  }

  // Paths that are outside the picture may be as high as they like; the axis is for those inside.
  load(start, inside) {
    const full = Math.max(240, this.svg.parentElement.clientWidth);
    Object.assign(this, { width: full - this.left - 8, height: Math.round(Math.max(96, Math.min(150, full / 4))) });
    const total = this.top + this.height + 24;
    this.svg.setAttribute("viewBox", `0 0 ${full} ${total}`);
    this.svg.setAttribute("height", total);
    const box = { x: this.left, y: this.top, width: this.width, height: this.height };
    for (const [key, value] of Object.entries(box)) this.frame.setAttribute(key, value + (key === "width" ? 8 : 0));
    const seen = [];
    this.runs = this.rules.map((rule) => {
      const run = rule.runs[start], { path, loss } = columns(rule, run), f = [];
      for (let t = 0; t <= run.steps; t++) {
        f.push(loss.at(t)[0]);
        if (inside(path.at(t))) seen.push(f[t]);
      }
      return { f, steps: run.steps };
    });
    this.longest = Math.max(...this.runs.map((run) => run.steps), 1);
    const log = this.surface.log, positive = seen.filter((x) => x > 0);
    this.scale = log ? (x) => Math.log10(Math.max(x, 1e-300)) : (x) => x;
    const shown = (log ? positive : seen).map(this.scale).filter(Number.isFinite);
    this.high = Math.max(...shown, -1e300);
    this.low = Math.max(Math.min(...shown, 1e300), log ? this.high - 16 : -Infinity);
    if (!(this.high > this.low)) [this.low, this.high] = shown.length ? [this.low - 1, this.low + 1] : [0, 1];
    this.drawAxes(box);
    this.lines.replaceChildren();
    this.heads.replaceChildren();
    this.runs.forEach((run, i) => {
      const colour = ownColour(i);
      run.points = run.f.map((_, t) => this.place(t, run.f).map((c) => c.toFixed(1)).join(" "));
      run.whole = draw(this.lines, "polyline", { ...colour, class: "whole", points: run.points.join(" ") });
      run.done = draw(this.lines, "polyline", { ...colour, class: "done", ...dashes(this.rules[i]) });
      run.head = draw(this.heads, "path", { ...colour, class: "head" });
    });
  }

  place(t, f) {
    const share = (this.scale(f[t]) - this.low) / (this.high - this.low);
    const near = Math.max(-0.2, Math.min(1.2, share));
    return [this.left + (t / this.longest) * this.width, this.top + (1 - near) * this.height];
  }

  drawAxes(box) {
    const bottom = this.top + this.height;
    this.axes.replaceChildren();
    draw(this.axes, "rect", { ...box, class: "frame" });
    for (const t of ticks(0, this.longest, this.width / 90).filter(Number.isInteger)) {
      const at = this.left + (t / this.longest) * this.width;
      draw(this.axes, "path", { d: `M${at} ${bottom}v4` });
      draw(this.axes, "text", { x: at, y: bottom + 17, "text-anchor": "middle" }, plain(t));
    }
    for (const y of this.levels()) {
      const at = this.top + (1 - (y - this.low) / (this.high - this.low)) * this.height;
      draw(this.axes, "path", { d: `M${this.left} ${at}h-4` });
      const words = this.surface.log ? short(10 ** y) : plain(y);
      draw(this.axes, "text", { x: this.left - 7, y: at + 4, "text-anchor": "end" }, words);
    }
    const corner = { x: this.left + this.width - 8, y: this.top + 16, "text-anchor": "end" };
    draw(this.axes, "text", { ...corner, class: "name" }, this.surface.loss);
  }

  // Where the axis of f has its numbers: decades, or where these are few round numbers between.
  levels() {
    if (!this.surface.log) return ticks(this.low, this.high, this.height / 34);
    const step = Math.max(1, Math.ceil((this.high - this.low) / (this.height / 30)));
    const decades = ticks(this.low, this.high, Math.max(1, this.high - this.low)).filter((y) => y % step === 0);
    if (decades.length > 1) return decades;
    const exact = [...Array(340).keys()].flatMap((e) => [1, 2, 5].map((m) => Math.log10(m) + e - 320));
    const some = exact.filter((y) => y >= this.low && y <= this.high);
    return some.length > 1 ? some : ticks(10 ** this.low, 10 ** this.high, 3).filter((f) => f > 0).map(Math.log10);
  }

  stepAt(event) {
    const x = event.clientX - this.svg.getBoundingClientRect().x;
    return Math.round(Math.max(0, Math.min(1, (x - this.left) / this.width)) * this.longest);
  }

  show(t, shown) {
    const x = this.left + (Math.min(t, this.longest) / this.longest) * this.width;
    this.now.setAttribute("d", `M${x.toFixed(1)} ${this.top}v${this.height}`);
    this.runs.forEach((run, i) => {
      const now = Math.min(t, run.steps);
      run.done.setAttribute("points", run.points.slice(0, now + 1).join(" "));
      run.head.setAttribute("d", marker(this.rules[i].marker, ...this.place(now, run.f), shown.has(i) ? 6 : 4));
      for (const node of [run.whole, run.done, run.head]) node.classList.toggle("aside", !shown.has(i));
    });
  }
}
