// A press on a link to a report that is made on demand -> waits here until it is ready, then goes there.
"use strict";
(() => {
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-report]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.dataset.busy) return;
    const words = link.textContent;
    const show = (text) => { link.textContent = text; window.seamark.say(text); };
    link.dataset.busy = "1";
    show("The report is being made…");
    try {
      for (let tries = 0; tries < 120; tries += 1) {
        const answer = await fetch(link.href, { credentials: "same-origin" });
        if (answer.status === 200) { location.assign(link.href); return; }
        if (answer.status !== 202) {
          const problem = await answer.json().catch(() => ({}));
          show(`No report: ${problem.detail || answer.status}`);
          return;
        }
        await new Promise((done) => setTimeout(done, 2000));
      }
      show("The report takes long; try again later");
    } catch {
      show("The service does not answer");
    } finally {
      delete link.dataset.busy;
      setTimeout(() => { if (!link.dataset.busy) link.textContent = words; }, 8000);
    }
  });
})();
