"use strict";
// Charts: the lines that are switched off are the parameter "hidden" of every panel.
for (const figure of document.querySelectorAll("figure[data-name]")) {
  const panels = [...figure.querySelectorAll(".panel")];
  if (!panels.length) continue;
  const views = panels.map((panel) => {
    const source = panel.querySelector("script");
    const spec = JSON.parse(source.textContent);
    if (panel.clientWidth < 520) {
      spec.config.axisY = { ...spec.config.axisY, labelLimit: 120 };
      spec.config.axisX = { ...spec.config.axisX, labelLimit: 90 };
    }
    const plot = document.createElement("div");
    plot.className = "plot";
    source.replaceWith(plot);
    return vegaEmbed(plot, spec, {
      mode: "vega-lite", renderer: "svg", actions: false, tooltip: { disableDefaultStyle: true },
      logLevel: 1, // errors: that nothing is left to see, where all is switched off, is no fault
    }).then((drawn) => drawn.view);
  });
  const boxes = [...figure.querySelectorAll(".switches input")];
  const show = async () => {
    const hidden = boxes.filter((box) => !box.checked).map((box) => box.value);
    for (const view of await Promise.all(views)) await view.signal("hidden", hidden).runAsync();
    figure.dataset.hidden = hidden.length;
  };
  for (const box of boxes) box.addEventListener("change", show);
  for (const button of figure.querySelectorAll("[data-all]")) {
    button.addEventListener("click", () => {
      for (const box of boxes) box.checked = button.dataset.all === "on";
      show();
    });
  }
  Promise.all(views).then(() => { figure.dataset.drawn = views.length; });
}

// Tables: every header is a button that sorts by its column; rows without a value stay last.
function order(column) {
  const cells = column.map((cell) => {
    const text = cell.textContent.trim();
    const value = cell.dataset.value ?? text.replaceAll(",", "");
    const number = value === "" ? NaN : Number(value);
    return { text, number, missing: text === "" || text === "-" };
  });
  const numbers = cells.every((cell) => cell.missing || !Number.isNaN(cell.number));
  return (a, b, down) => {
    const one = cells[a], other = cells[b];
    if (one.missing || other.missing) return one.missing - other.missing;
    const less = numbers
      ? one.number - other.number
      : one.text.localeCompare(other.text, "en", { numeric: true });
    return down ? -less : less;
  };
}
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      const rows = [...body.rows];
      const compare = order(rows.map((row) => row.cells[at]));
      const places = rows.map((_, place) => place).sort((a, b) => compare(a, b, down) || a - b);
      body.append(...places.map((place) => rows[place]));
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
    });
  });
}

// What is wider than the window fades out at its right edge, and says that it can be scrolled.
for (const box of document.querySelectorAll(".scroll")) {
  const hint = document.createElement("p");
  hint.className = "aside";
  hint.textContent = "Scroll sideways for the rest.";
  hint.hidden = true;
  box.after(hint);
  const look = () => {
    hint.hidden = box.scrollWidth <= box.clientWidth + 1;
    box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  };
  box.addEventListener("scroll", look);
  new ResizeObserver(look).observe(box);
}

// The index: rows that have every word of the search box, and are of the chosen kind.
for (const form of document.querySelectorAll("form[data-filter]")) {
  const table = document.querySelector(`table[data-name="${form.dataset.filter}"]`);
  const rows = [...table.tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]);
  const box = form.querySelector("input"), kind = form.querySelector("select");
  const show = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      const is = (!kind.value || row.dataset.kind === kind.value)
        && words.every((word) => text.includes(word));
      row.hidden = !is;
      shown += is;
    }
    form.querySelector("output").value = shown === rows.length
      ? `${rows.length} kept` : `${shown} of ${rows.length} shown`;
  };
  for (const type of ["input", "change"]) form.addEventListener(type, show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();  // a browser keeps what was typed when the page is loaded again
}

// On paper nothing is folded.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    details.dataset.folded = "";
  }
});
addEventListener("afterprint", () => {
  for (const details of document.querySelectorAll("details[data-folded]")) {
    details.open = false;
    delete details.dataset.folded;
  }
});
