// Figures in the page's own words (JSON beside each canvas) -> plotly, in the colours of the theme in force.
"use strict";
(() => {
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shades = { bad: "--bad", muted: "--soft" };
  const shade = (c) => color(typeof c === "number" ? `--series-${c % 6}` : shades[c] || "--ink");

  // A line needs two points; a handful of them is shown as what it is.
  const few = (t) => t.y.filter((v) => v !== null).length < 9;

  // A band is one shape per stretch, up along its upper edge and back along the lower; its median tells the figures.
  function band(t) {
    return { type: "scatter", mode: "lines", name: t.name, x: t.x, y: t.y, line: { width: 0 }, fill: "toself", fillcolor: shade(t.color) + "38", hoverinfo: "skip", connectgaps: false };
  }

  function trace(t) {
    if (t.band) return band(t);
    return {
      type: "scatter", mode: t.markers || few(t) ? "lines+markers" : "lines", name: t.name, x: t.x, y: t.y,
      line: { color: shade(t.color), width: t.width || (t.dash === "solid" ? 2.2 : 1.6), dash: t.dash, shape: t.step ? "hv" : "linear" },
      ...(t.markers && { marker: { symbol: t.markers, size: 11, color: shade(t.color), line: { width: 2, color: shade(t.color) } } }),
      ...(t.fill && { fill: "tozeroy", fillcolor: shade(t.color) + "26" }),
      yaxis: t.axis === 2 ? "y2" : "y", connectgaps: false, cliponaxis: !t.markers, ...(t.told && { text: t.told }), hovertemplate: t.told ? "%{text}" : `%{y:,.4~g}${t.unit}`,
    };
  }

  function axis(spec, traces, number) {
    const values = traces.filter((t) => (t.axis || 1) === number).flatMap((t) => t.y).filter((v) => v !== null);
    const top = spec.top || Math.max(spec.at_least || 0, values.length ? Math.max(...values) * 1.08 : 1);
    return { title: { text: spec.title, standoff: 8 }, ...(spec.from_zero && { range: [0, top || 1] }), gridcolor: color("--rule"), zerolinecolor: color("--rule"), automargin: true, nticks: 6, ...(spec.whole && top < 7 && { dtick: 1 }) };
  }

  // Our own legend, in the page's text: it wraps on narrow screens and takes nothing from the plot.
  const dashes = { dot: "2 3", dash: "6 4" };
  function legend(list, traces) {
    list.replaceChildren(...traces.map((t) => {
      const item = document.createElement("li");
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      if (t.band) Object.entries({ x1: 0, x2: 22, y1: 6, y2: 6, stroke: shade(t.color), "stroke-width": 10, "stroke-opacity": 0.3 }).forEach(([name, value]) => line.setAttribute(name, value));
      else for (const [name, value] of Object.entries({ x1: 0, x2: 22, y1: 6, y2: 6, stroke: shade(t.color), "stroke-width": t.dash === "solid" ? 3 : 2, "stroke-dasharray": dashes[t.dash] || "" })) line.setAttribute(name, value);
      svg.setAttribute("viewBox", "0 0 22 12");
      svg.append(line);
      item.append(svg, plain(t.name));
      return item;
    }));
  }
  const plain = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

  function layout(figure, width) {
    const made = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 52, r: figure.y2 ? 48 : 12, t: 8, b: 40 },
      font: { family: color("--sans"), size: 12.5, color: color("--soft") },
      hovermode: "x unified", hoverlabel: { bgcolor: color("--panel"), bordercolor: color("--rule"), font: { color: color("--ink") } },
      showlegend: false,
      xaxis: { title: { text: figure.x.title, standoff: 6 }, type: figure.x.numbers ? "linear" : "date", gridcolor: color("--rule"), zeroline: false, rangemode: figure.x.numbers ? "tozero" : "normal", automargin: true, ...(figure.x.range && { range: figure.x.range }), nticks: width < 560 ? 4 : 8, tickangle: 0 },
      yaxis: axis(figure.y, figure.traces, 1), dragmode: false,
    };
    if (figure.x.now) made.shapes = [{ type: "line", x0: figure.x.now, x1: figure.x.now, yref: "paper", y0: 0, y1: 1, line: { color: color("--ink"), width: 1.5, dash: "dot" } }];
    if (figure.y2) made.yaxis2 = { ...axis(figure.y2, figure.traces, 2), overlaying: "y", side: "right", showgrid: false };
    return made;
  }

  const drawn = new WeakMap();
  function draw(holder, force) {
    const text = holder.querySelector('script[type="application/json"]').textContent;
    let held = drawn.get(holder);
    if (!held || held.text !== text) held = { text, figure: JSON.parse(text) };
    else if (!force) return;
    drawn.set(holder, held);
    const canvas = holder.querySelector(".canvas");
    if (held.figure.traces.length > 1) legend(holder.querySelector(".legend"), held.figure.traces);
    Plotly.react(canvas, held.figure.traces.map(trace), layout(held.figure, canvas.clientWidth), { displayModeBar: false, responsive: true });
  }

  function drawAll(force) {
    for (const holder of document.querySelectorAll("[data-plot]")) draw(holder, force === true);
  }

  // Let a script change the figure it finds under a name, then draw it.
  function change(name, edit) {
    const holder = document.querySelector(`[data-plot="${name}"]`);
    if (!holder || !drawn.has(holder)) return;
    edit(drawn.get(holder).figure);
    draw(holder, true);
  }

  window.seamark = { ...window.seamark, plots: { change } };
  if (!window.Plotly) return;
  drawAll();
  document.addEventListener("seamark:refreshed", () => drawAll());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(true));
})();
