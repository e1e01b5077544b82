// Beside a page in a notebook: gives it the height it asks for, and tells it the notebook's theme.
for (const root of document.querySelectorAll(".npo-ID:not(.npo-on)")) {
  const frame = root.querySelector("iframe"), light = document.body.dataset.jpThemeLight;
  root.classList.add("npo-on");
  root.querySelector("p").remove();
  addEventListener("message", ({ source, data }) => {
    if (source !== frame.contentWindow || !(data.npoptim > 0)) return;
    frame.style.height = `${Math.ceil(data.npoptim)}px`;
    if (light) source.postMessage({ npoptim: light === "true" ? "light" : "dark" }, "*");
  });
}
