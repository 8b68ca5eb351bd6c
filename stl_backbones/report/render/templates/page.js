"use strict";
// Without this script the page says the same: it sorts, filters, and opens what the maps' cells hold.
// Texts from the page enter it as text alone, never as markup.
(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const make = (tag, text = "", name = "") => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const wrap = (element, button) => {  // what an element holds becomes a button's
    button.type = "button";
    button.append(...element.childNodes);
    element.append(button);
    return button;
  };

  // The theme: the system's, light, or dark.
  const theme = document.getElementById("theme");
  const themes = ["system", "light", "dark"];
  for (const one of all(".tools, .scripted")) one.hidden = false;
  theme.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "system";
    const next = themes[(themes.indexOf(now) + 1) % themes.length];
    document.documentElement.dataset.theme = next;
    theme.textContent = `Theme: ${next}`;
  });

  // Which models are shown.
  for (const box of all(".menu input")) {
    box.checked = true;  // a browser may restore an earlier choice
    box.addEventListener("change", () => {
      for (const one of all(`main [data-m="${box.value}"]`)) one.hidden = !box.checked;
    });
  }
  addEventListener("click", (event) => {
    for (const menu of all(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  // Sorting: worst first, best first, as it was. What has no number comes last.
  const number = (text) => {
    const found = /^(?:<= )?([+-]?\d+(?:\.\d+)?)/.exec(text);
    return found ? Number(found[1]) : null;
  };
  const sorter = (column, sign) => (one, other) => {
    const [a, b] = [one, other].map((row) => row.cells[column].textContent.trim());
    const [x, y] = column ? [number(a), number(b)] : [null, null];
    if (x !== null && y !== null) return sign * (x - y);
    if (x !== null || y !== null) return x === null ? 1 : -1;
    if (!/\w\w/.test(a) || !/\w\w/.test(b)) return /\w\w/.test(b) - /\w\w/.test(a);
    return sign * a.localeCompare(b, "en", { numeric: true });
  };
  for (const table of all("table")) {
    const rows = all("tbody tr", table);
    const homes = rows.map((row) => row.parentElement);
    const heads = all("thead tr:last-child th", table);
    if (rows.length < 2) continue;
    for (const head of heads) {
      const column = head.cellIndex;
      const numeric = column && rows.some((row) => number(row.cells[column].textContent.trim()) !== null);
      const first = head.dataset.first === "up" || !numeric ? "ascending" : "descending";
      const second = first === "ascending" ? "descending" : "ascending";
      const button = wrap(head, make("button", "", "sort"));
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const next = now === first ? second : now === second ? null : first;
        for (const other of heads) other.removeAttribute("aria-sort");
        if (next) head.setAttribute("aria-sort", next);
        const order = sorter(column, next === "ascending" ? 1 : -1);
        const sorted = next ? [...rows].sort(order) : rows;
        sorted.forEach((row, index) => (next ? homes[0] : homes[index]).append(row));
      });
    }
  }

  // Finding a class, in all tables of classes.
  for (const place of all(".find")) {
    const rows = all('table[data-rows="Class"] tbody tr');
    const input = place.querySelector("input");
    place.hidden = false;
    input.value = "";
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      const here = all(".class-map tbody tr").filter((row) => !row.hidden);
      const names = new Set(here.map((row) => row.cells[0].textContent));
      place.querySelector("output").textContent = wanted ? `${names.size} found` : "";
    });
  }

  // Pictures in full size.
  const viewer = document.body.appendChild(document.createElement("dialog"));
  viewer.setAttribute("aria-label", "Picture");
  viewer.addEventListener("click", () => viewer.close());
  for (const image of all("figure img")) {
    const button = make("button");
    image.replaceWith(button);
    button.type = "button";
    button.append(image);
    button.addEventListener("click", () => {
      const close = make("button", "Close");
      viewer.replaceChildren(image.cloneNode(), close);
      viewer.showModal();
    });
  }

  // What a map's cell holds.
  const tables = all("table.cells");
  const detail = document.querySelector(".detail");
  const bars = (title, lines) => {  // of each line: its name, a number's text, what is set apart
    const block = make("div");
    const table = make("table", "", "bars");
    const most = Math.max(100 * (lines[0].unit === "%"), ...lines.map((line) => number(line.text)));
    block.append(make("h4", title), table);
    for (const line of lines) {
      const row = table.insertRow();
      const head = make("th");
      const bar = make("i");
      if (line.chosen) row.className = "now";
      head.scope = "row";
      head.append(line.name);
      row.append(head, make("td", line.text, "number"), make("td", "", "fill"));
      bar.style.width = `${(100 * Math.max(0, number(line.text))) / (most || 1)}%`;
      row.lastChild.append(bar);
    }
    return block;
  };
  const numbers = (cell, table) => {
    const [value, clean] = [cell.textContent, table.dataset.clean];
    const block = make("div");
    block.append(make("p", value, "value"), make("dl"));
    block.firstChild.append(make("small", ` ${table.dataset.unit}`));
    const facts = [["95 % interval", cell.dataset.ends], ["Clean", clean]];
    if (number(clean) !== null) {
      const change = number(value) - number(clean);
      const digits = (value.split(".")[1] || "").length;
      facts.push(["Against clean", (change > 0 ? "+" : "") + change.toFixed(digits)]);
    }
    for (const [name, text] of facts) {
      if (text) block.lastChild.append(make("dt", name), make("dd", text));
    }
    return block;
  };
  const pictures = (cell) => {
    const place = all(".shots").find((one) => one.dataset.cell === cell.dataset.cell);
    if (!place) return [];
    const block = make("div");
    const count = all("figure", place).length;
    const link = make("a", `${count} picture${count === 1 ? "" : "s"} of this cell`);
    const thumbs = make("div", "", "thumbs");
    place.id = place.id || `pictures-${all(".shots").indexOf(place)}`;
    link.href = `#${place.id}`;
    thumbs.append(...all("img", place).slice(0, 3).map((image) => image.cloneNode()));
    block.append(make("h4", "Pictures"), thumbs, link);
    return [block];
  };
  const placed = (cell) => {  // a cell's name in words
    const head = cell.closest("table").querySelector("thead tr").cells[cell.cellIndex];
    return `${cell.parentElement.cells[0].textContent}, severity ${head.textContent.trim()}`;
  };
  const line = (cell, name, chosen) => {
    const { unit } = cell.closest("table").dataset;
    return { name, text: cell.textContent, unit, chosen: cell === chosen };
  };
  const show = (button, opened) => {
    const cell = button.parentElement;
    const [row, table] = [cell.parentElement, cell.closest("table")];
    const levels = all("[data-cell]", row).map((one) => line(one, placed(one).split(", ").pop(), cell));
    const rivals = tables.map((one) => [one, all("[data-cell]", one)
      .find((other) => other.dataset.cell === cell.dataset.cell)]);
    const blocks = make("div", "", "blocks");
    blocks.append(numbers(cell, table), bars("This corruption", levels));
    if (cell.dataset.classes) {
      const classes = cell.dataset.classes.split("\n").map((one) => one.split("\t"));
      blocks.append(bars("Lowest classes", classes.map(([name, text]) => ({ name, text, unit: "%" }))));
    }
    if (tables.length > 1) {
      const measured = rivals.filter(([, other]) => other);
      blocks.append(bars("Models", measured.map(([one, other]) => line(other, one.dataset.model, cell))));
    }
    blocks.append(...pictures(cell));
    detail.querySelector(".chosen").replaceChildren(
      make("h3", placed(cell)), make("p", table.dataset.model, "soft"), blocks);
    detail.hidden = false;
    detail.classList.toggle("open", opened);
    for (const other of all(".cells [aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
  };
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  for (const table of tables) {
    const buttons = all("td[data-cell]", table).map((cell) => wrap(cell, make("button")));
    const enter = (button) => {  // one stop of the Tab key in each map; arrows go on from there
      for (const other of buttons) other.tabIndex = other === button ? 0 : -1;
    };
    for (const button of buttons) {
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => show(button, true));
      button.addEventListener("focus", () => enter(button));
      button.addEventListener("keydown", (event) => {
        if (!(event.key in step)) return;
        const rows = all("tbody tr", table);
        const [down, right] = step[event.key];
        const row = rows[rows.indexOf(button.closest("tr")) + down];
        const next = row && row.cells[button.parentElement.cellIndex + right];
        if (next && next.querySelector("button")) next.querySelector("button").focus();
        event.preventDefault();
      });
    }
    if (buttons.length) enter(buttons[0]);
  }
  if (detail) {
    const sign = tables[0].dataset.worst === "highest" ? -1 : 1;
    const cells = all(".cells td[data-cell]");
    const weakest = cells.sort((a, b) => sign * (number(a.textContent) - number(b.textContent)));
    const link = (cell) => {
      const model = tables.length > 1 ? `, ${cell.closest("table").dataset.model}` : "";
      const button = make("button", placed(cell).replace("severity ", "") + model);
      button.type = "button";
      button.addEventListener("click", () => show(cell.firstChild, true));
      return button;
    };
    if (weakest.length) {
      const lines = weakest.slice(0, 10).map((cell) => line(cell, link(cell)));
      detail.querySelector(".weakest").append(bars("Weakest cells", lines));
      show(weakest[0].firstChild, false);
    }
    detail.querySelector(".close").addEventListener("click", () => detail.classList.remove("open"));
    addEventListener("keydown", (event) => {
      if (event.key === "Escape") detail.classList.remove("open");
    });
  }

  // On paper nothing is folded.
  addEventListener("beforeprint", () => {
    for (const one of all("main details:not([open])")) one.dataset.folded = one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of all("details[data-folded]")) {
      delete one.dataset.folded;
      one.open = false;
    }
  });
})();
