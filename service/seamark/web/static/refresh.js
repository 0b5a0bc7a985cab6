// The server's newest main part -> this page, changing only what differs: no flicker, focus and open details stay.
"use strict";
(() => {
  const main = document.getElementById("main");
  const fresh = document.getElementById("fresh");
  const said = document.getElementById("said");
  const everyS = Number(main.dataset.refreshS || 0);
  let lastAt = Date.now();
  let failures = 0;
  let busy = false;

  const say = (text) => { said.textContent = text; };
  const section = (node) => node.nodeName === "SECTION" && node.getAttribute("aria-labelledby");
  const mark = (node) => node.dataset?.key || node.id || node.dataset?.plot || section(node) || "";
  const key = (node) => `${node.nodeName}#${mark(node)}`;

  function attributes(from, to) {
    for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS")) from.removeAttribute(name);
    }
  }

  function morph(from, to) {
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.data !== to.data) from.data = to.data;
      return;
    }
    if (from.matches(".canvas, .legend, .form-error, [data-busy]")) return; // what scripts of this page have filled
    attributes(from, to);
    children(from, to);
  }

  // Nodes with a mark are found again when others came or went before them; the rest is matched in order.
  function children(from, to) {
    let at = from.firstChild;
    for (const next of [...to.childNodes]) {
      if (at && key(at) !== key(next) && mark(next)) {
        let found = at;
        while (found && key(found) !== key(next)) found = found.nextSibling;
        while (found && at !== found) at = drop(at);
      }
      if (at && key(at) === key(next)) {
        morph(at, next);
        at = at.nextSibling;
      } else from.insertBefore(next, at);
    }
    while (at) at = drop(at);
  }

  function drop(node) {
    const after = node.nextSibling;
    node.remove();
    return after;
  }

  function tell() {
    const agoS = Math.round((Date.now() - lastAt) / 1000);
    const lost = failures > 1;
    if (lost && fresh.dataset.state === "ok") say("The service does not answer: this page is no longer refreshed.");
    if (!lost && fresh.dataset.state === "lost") say("This page is refreshed again.");
    fresh.dataset.state = lost ? "lost" : "ok";
    main.classList.toggle("outdated", lost);
    fresh.textContent = lost ? `⚠ Not refreshed for ${agoS} s: the service does not answer` : `refreshes every ${everyS} s`;
  }

  async function refresh() {
    if (busy) return;
    busy = true;
    try {
      const url = new URL(location.href);
      url.searchParams.set("fragment", "main");
      const answer = await fetch(url, { headers: { Accept: "text/html" }, credentials: "same-origin", signal: AbortSignal.timeout(15000) });
      if (!answer.ok || answer.redirected) throw new Error(`answered ${answer.status}`);
      const next = document.createElement("main");
      next.innerHTML = await answer.text();
      children(main, next);
      const title = main.querySelector("[data-title]");
      if (title) document.title = title.dataset.title;
      lastAt = Date.now();
      failures = 0;
      document.dispatchEvent(new CustomEvent("seamark:refreshed"));
    } catch (error) {
      failures += 1;
    } finally {
      busy = false;
      if (everyS) tell();
    }
  }

  window.seamark = { ...window.seamark, refresh, say };
  if (!everyS) return;
  tell();
  setInterval(() => { if (!document.hidden) refresh(); }, everyS * 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
})();
