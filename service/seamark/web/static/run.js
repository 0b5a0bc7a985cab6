// Server-sent progress of a run -> live figures and growing plots; when it ends, the finished page in its place.
"use strict";
(() => {
  const panel = document.querySelector("[data-events]");
  if (!panel) return;
  const part = (key) => document.querySelector(`[data-live="${key}"]`);
  const set = (key, text) => { const node = part(key); if (node && node.textContent !== text) node.textContent = text; };
  const digits = (value, most) => value.toLocaleString("en", { maximumFractionDigits: most });
  const known = (value) => typeof value === "number" && Number.isFinite(value);
  const ms = (value) => (known(value) ? `${digits(value, value < 10 ? 1 : 0)} ms` : "–");
  const perS = (value) => (known(value) ? `${digits(value, value < 10 ? 1 : 0)}/s` : "–");
  const waiting = [];
  let lastS = -1;
  let before = null;
  let timer = 0;
  let stopping = Boolean(document.querySelector("button.stop[disabled]"));

  function rateOf(line, field) {
    const lapsed = line.t_s - (before ? before.t_s : 0);
    return lapsed >= 0.5 && known(line[field]) ? (line[field] - (before ? before[field] : 0)) / lapsed : null;
  }

  function point(line, key) {
    if (key === "done" || key === "failed") return rateOf(line, key);
    return known(line[key]) ? line[key] : null;
  }

  function show() {
    timer = 0;
    const lines = waiting.splice(0);
    if (!lines.length) return;
    const figures = {};
    for (const name of ["rate", "latency"]) window.seamark.plots.change(name, (figure) => { figures[name] = figure; });
    let rate = null;
    for (const line of lines) {
      const latest = rateOf(line, "done");
      if (latest !== null) rate = latest;
      for (const figure of Object.values(figures)) {
        for (const trace of figure.traces) { trace.x.push(line.t_s); trace.y.push(point(line, trace.key)); }
      }
      if (latest !== null) before = line;
    }
    for (const name of Object.keys(figures)) window.seamark.plots.change(name, () => {});
    const line = lines[lines.length - 1];
    set("t_s", `${digits(line.t_s, 0)} s`);
    set("asked_rps", perS(line.asked_rps));
    if (rate !== null) set("rate", perS(rate));
    set("failed", known(line.failed) ? digits(line.failed, 0) : "–");
    set("in_flight", known(line.in_flight) ? digits(line.in_flight, 0) : "–");
    set("p99_ms", ms(line.p99_ms));
    set("lateness_p99_ms", ms(line.lateness_p99_ms));
    set("cpu_ratio", known(line.cpu_ratio) ? `${digits(line.cpu_ratio * 100, 0)} %` : "–");
  }

  // The run that this one waits for, or none.
  function ahead(runId) {
    const line = part("ahead");
    line.hidden = !runId;
    if (!runId) return;
    line.firstElementChild.href = `/runs/${encodeURIComponent(runId)}`;
    line.firstElementChild.textContent = `See run ${runId}`;
  }

  // The lines that the page was drawn with come again: begin anew with the first one, so that each is drawn once.
  function begin() {
    const hidden = document.querySelectorAll("[data-begun][hidden]"); // it waited until now
    for (const node of hidden) node.hidden = false;
    if (hidden.length) dispatchEvent(new Event("resize")); // the plots were drawn without knowing their width
    panel.classList.replace("quiet", "live");
    ahead(null);
    for (const name of ["rate", "latency"]) {
      window.seamark.plots.change(name, (figure) => figure.traces.forEach((t) => { t.x = []; t.y = []; }));
    }
    part("word").lastChild.textContent = "Running";
    if (!stopping) set("note", "Requests are being sent.");
  }

  const events = new EventSource(panel.dataset.events);
  events.addEventListener("progress", (event) => {
    const line = JSON.parse(event.data);
    if (!known(line.t_s) || line.t_s <= lastS) return;
    if (lastS < 0) begin();
    lastS = line.t_s;
    waiting.push(line);
    if (!timer) timer = setTimeout(show, 250);
  });
  events.addEventListener("waiting", (event) => {
    const { reason, run_id: runId } = JSON.parse(event.data);
    set("note", `${reason[0].toUpperCase()}${reason.slice(1)}.`);
    ahead(runId);
  });
  events.addEventListener("end", async (event) => {
    events.close();
    show();
    const { status } = JSON.parse(event.data);
    for (const button of document.querySelectorAll("[data-busy]")) delete button.dataset.busy;
    await window.seamark.refresh();
    document.title = document.title.replace(/^[^·]+/, `${status[0].toUpperCase()}${status.slice(1)} `);
    window.seamark.say(`The run has ended: ${status}.`);
  });
  // A stop was asked for: until the run has ended, nothing else is worth saying.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.stop");
    if (button) stopping = true;
  });
  events.addEventListener("error", () => set("note", "The connection was lost; trying again…"));
  events.addEventListener("open", () => { if (lastS >= 0) set("note", stopping ? "Stopping…" : "Requests are being sent."); });
})();
