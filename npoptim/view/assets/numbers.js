// Numbers: out of the page's data, and onto the page.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const DIGITS = Object.fromEntries([...LETTERS].map((letter, i) => [letter, i]));

// What a run recorded, column after column: float32 without their last two bits, five letters each.
function unpacked(text) {
  const bits = new Uint32Array(text.length / 5);
  for (let i = 0; i < text.length; i++) bits[Math.floor(i / 5)] = bits[Math.floor(i / 5)] * 64 + DIGITS[text[i]];
  return new Float32Array(bits.map((x) => x << 2).buffer);
}

// The columns of a run: path, loss, gradient and momentum in the plane, then every value.
function columns(rule, run) {
  if (run.columns) return run.columns;
  const numbers = unpacked(run.numbers), n = run.steps;
  let at = 0;
  const take = (rows, size) => {
    const part = numbers.subarray(at, at += rows * size);
    return { size, at: (i) => part.subarray(i * size, (i + 1) * size) };
  };
  const found = { path: take(n + 1, 2), loss: take(n + 1, 1), gradient: take(n, 2) };
  found.momentum = rule.momentum ? take(n, 2) : null;
  found.values = rule.lines.map((line) => line.values.map((value) =>
    value.same || value.counts ? null : take(n, value.shape.reduce((a, b) => a * b, 1))));
  return (run.columns = found);
}

// A value of a line at step t, as {shape, data}; null where the line did not run.
function valueAt(rule, run, i, k, t) {
  const value = rule.lines[i].values[k];
  const data = value.counts ? [t] : value.same || columns(rule, run).values[i][k].at(t - 1);
  return data.length && data.every(Number.isNaN) ? null : { shape: value.shape, data };
}

// What every name stands for before the lines of step t.
function before(rule, run, t) {
  const known = {};
  const assign = (step) => rule.lines.forEach((line, i) => line.values.forEach((value, k) => {
    const now = step < 1 && !line.once ? null : valueAt(rule, run, i, k, Math.max(step, 1));
    if (now) known[value.name] = now;
  }));
  assign(0);
  known.p = run.start;
  if (t > 1) assign(t - 1);
  return known;
}

const TINY = 1.18e-38, HUGE = 3.39e38;  // what is smaller or larger is stored as these

// Four significant digits; a true minus.
function short(x) {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x < 0 ? "−inf" : "inf";
  if (x === 0) return "0";
  const size = Math.abs(x), sign = x < 0 ? "−" : "";
  if (size < TINY) return `${sign}≈0`;
  if (size > HUGE) return x < 0 ? "<−3e38" : ">3e38";
  if (Number.isInteger(size) && size < 1e5) return sign + size;
  const [digits, exponent] = size.toExponential(3).split("e");
  if (exponent < -4 || exponent > 3) return `${sign}${+digits}e${exponent.replace("+", "").replace("-", "−")}`;
  return sign + +size.toPrecision(4);
}

function written({ shape, data }, line = " ") {
  if (!shape.length) return short(data[0]);
  const row = shape.at(-1), numbers = Array.from(data, short), rows = [];
  for (let i = 0; i < numbers.length; i += row) rows.push(`[${numbers.slice(i, i + row).join(" ")}]`);
  return shape.length > 1 ? `[${rows.join(line)}]` : rows[0];
}

const RAISED = { "−": "⁻", ".": "·", e: "ᵉ" };
[..."⁰¹²³⁴⁵⁶⁷⁸⁹"].forEach((c, i) => (RAISED[i] = c));

// A line of the box with its numbers put in: text, and holes [name, raised] between.
function filled(holes, known) {
  return holes.map((part, i) => {
    if (typeof part === "string") return part;
    const [name, letter, raised] = part, value = known[name];
    if (!value) return letter;
    const text = written(value);
    if (raised) return [...text].map((c) => RAISED[c] ?? c).join("");
    return i && text.startsWith("−") ? `(${text})` : text;
  }).join("");
}
