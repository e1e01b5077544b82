// Players in frames: each gets the height it asks for, up to the window's, and the site's light or dark.
const players = () => document.querySelectorAll("iframe.player");
const theme = () => document.documentElement.dataset.theme;
addEventListener("message", ({ source, data }) => {
  for (const frame of players()) {
    if (source !== frame.contentWindow || !(data?.npoptim > 0)) continue;
    frame.style.height = `${Math.min(Math.ceil(data.npoptim) + 2, 0.85 * innerHeight)}px`;
    source.postMessage({ npoptim: theme() }, "*");
  }
});
new MutationObserver(() => {
  for (const frame of players()) frame.contentWindow?.postMessage({ npoptim: theme() }, "*");
}).observe(document.documentElement, { attributeFilter: ["data-theme"] });
