// Arrow keys, Home and End move the focus between the cells of a heat map; links and tab stops are the server's.
"use strict";
(() => {
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] };

  document.addEventListener("keydown", (event) => {
    const cell = event.target.closest?.("[data-heat] td .cell");
    const move = moves[event.key];
    if (!cell || !move || event.altKey || event.ctrlKey || event.metaKey) return;
    const rows = [...cell.closest("tbody").rows].map((row) => [...row.querySelectorAll("td .cell")].filter((one) => one.checkVisibility()));
    const down = rows.findIndex((row) => row.includes(cell));
    const within = (place, row) => Math.min(Math.max(place, 0), row.length - 1);
    const row = rows[within(down + move[0], rows)];
    const next = row[within(rows[down].indexOf(cell) + move[1], row)];
    event.preventDefault();
    next.focus();
  });
})();
