// Turns the table of a trace into a stepper; where this does not run, the table stays.
for (const root of document.querySelectorAll(".NAME:not(.npo-on)")) {
  const rows = [...root.querySelectorAll("tr.line")], said = document.createElement("div");
  if (!rows.length) continue;
  const bar = document.createElement("div");
  root.classList.add("npo-on");
  bar.className = "npo-bar";
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "step through the lines");
  said.className = "npo-said";
  said.setAttribute("role", "status");
  const add = (name, attributes, text = "") => {
    const node = document.createElement(name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    node.textContent = text;
    return bar.appendChild(node);
  };
  const button = (label, text, press) => {
    add("button", { type: "button", "aria-label": label, title: label }, text).addEventListener("click", press);
  };
  let here = 0;
  const go = (i) => {
    here = Math.max(0, Math.min(rows.length - 1, i));
    const row = rows[here], part = row.parentNode, title = part.rows[0].textContent;
    for (const body of root.querySelectorAll("tbody")) body.classList.toggle("npo-now", body === part);
    rows.forEach((other, k) => {
      other.classList.toggle("npo-here", k === here);
      other.classList.toggle("npo-ahead", k > here);
      other.setAttribute("aria-current", k === here ? "step" : "false");
    });
    const number = row.cells[0].textContent, line = number ? `line ${number}` : "the same line";
    const [, text, before, after] = [...row.cells].map((cell) => cell.innerText.replace(/\n/g, "; "));
    where.textContent = `${title}, ${line}`;
    slider.value = here;
    slider.setAttribute("aria-valuetext", `${title}, ${line}`);
    said.textContent = `${title}, ${line}: ${text}. ${before ? `Before: ${before}. ` : ""}Now: ${after}.`;
  };
  button("first line (Home)", "⇤", () => go(0));
  button("back a line (←)", "←", () => go(here - 1));
  button("next line (→)", "→", () => go(here + 1));
  button("last line (End)", "⇥", () => go(rows.length - 1));
  const slider = add("input", { type: "range", min: 0, max: rows.length - 1, "aria-label": "line" });
  slider.addEventListener("input", () => go(+slider.value));
  const where = add("output", {});
  const all = add("button", { type: "button", "aria-pressed": false }, "all lines");
  all.addEventListener("click", () => all.setAttribute("aria-pressed", root.classList.toggle("npo-all")));
  rows.forEach((row, i) => row.addEventListener("click", () => go(i)));
  bar.addEventListener("keydown", (event) => {
    const back = here - 1, next = here + 1, last = rows.length - 1;
    const to = { ArrowLeft: back, ArrowUp: back, ArrowRight: next, ArrowDown: next, Home: 0, End: last }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    go(to);
  });
  bar.append(said);
  root.insertBefore(bar, root.querySelector("table"));
  go(0);
}
