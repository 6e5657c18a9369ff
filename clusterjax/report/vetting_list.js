"use strict";
// Which candidates are listed, in which order, and the list itself.

// A new element; what is given as text can only become text.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const SIGNS = { cluster: "✓", not: "✕", unsure: "?", "": "" };
const byId = id => document.getElementById(id);

class CandidateList {
  // `data` is the page's; `onSelect(row)` is told which row is looked at now.
  constructor(data, verdicts, onSelect) {
    Object.assign(this, { data, verdicts, onSelect, ranges: [], shown: [], current: -1 });
    this.column = new Map(data.columns.map((column, index) => [column.name, index]));
    this.texts = data.rows.map(row => row.filter(value => typeof value === "string").join("\n").toLowerCase());
    this.element = byId("list");
    this.items = data.rows.map((_, row) => this.makeItem(row));
    // A picture is decoded when its row comes near; content-visibility spares the layout of the others.
    this.near = new IntersectionObserver(entries => entries.forEach(entry => {
      if (!entry.isIntersecting) return;
      const row = Number(entry.target.dataset.row);
      entry.target.querySelector("img").src = this.data.images[row][0];
      this.near.unobserve(entry.target);
    }), { root: this.element, rootMargin: "400px" });
    this.items.forEach(item => this.near.observe(item));
    this.element.addEventListener("click", event => {
      const item = event.target.closest("[data-row]");
      if (item) this.select(Number(item.dataset.row));
    });
    this.makeControls();
    this.update();
  }

  value(row, name) { return this.data.rows[row][this.column.get(name)]; }

  makeItem(row) {
    const item = make("li", { id: `row-${row}`, role: "option", "aria-selected": "false" },
      make("img", { alt: "", decoding: "async", width: 44, height: 44 }),
      make("span", { className: "about" },
        make("bdi", { textContent: this.data.names[row] }),
        make("small", { textContent: `score ${this.value(row, "score")} ${this.data.statuses[row] ?? ""}` })),
      make("span", { className: "sign" }));
    item.dataset.row = row;
    return item;
  }

  makeControls() {
    const numeric = this.data.columns.filter(column => column.numeric).map(column => column.name);
    const options = names => names.map(name => make("option", { value: name, textContent: name }));
    byId("sort").append(...options([...numeric, "name", "verdict"]));
    byId("sort").value = "score";
    byId("status").append(...options([...new Set(this.data.statuses)].sort()));
    byId("status").closest("label").hidden = !this.data.statuses.length;
    byId("flag").append(...this.data.flags.map(
      flag => make("option", { value: flag.bit, textContent: `with ${flag.name}`, title: flag.meaning })));
    byId("add-range").addEventListener("click", () => this.addRange(options(numeric)));
    for (const id of ["search", "sort", "descending", "status", "flag", "judged"]) {
      byId(id).addEventListener(byId(id).tagName === "SELECT" ? "change" : "input", () => this.update());
    }
  }

  // A further condition on a number: from, to, both included.
  addRange(options) {
    const column = make("select", { "aria-label": "Column" }, ...options);
    const [from, to] = ["from", "to"].map(text => make("input", { type: "number", step: "any", placeholder: text,
      "aria-label": text }));
    const remove = make("button", { type: "button", textContent: "×", "aria-label": "Remove this range" });
    const range = { column, from, to }, line = make("div", { className: "range" }, column, from, to, remove);
    this.ranges.push(range);
    column.addEventListener("change", () => this.update());
    line.addEventListener("input", () => this.update());
    remove.addEventListener("click", () => {
      this.ranges.splice(this.ranges.indexOf(range), 1);
      line.remove();
      this.update();
      byId("add-range").focus();
    });
    byId("ranges").append(line);
    column.focus();
  }

  isShown(row) {
    const entry = this.verdicts.get(this.data.ids[row]);
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = `${this.texts[row]}\n${entry.comment.toLowerCase()}`;
    if (!words.every(word => text.includes(word))) return false;
    if (byId("status").value && this.data.statuses[row] !== byId("status").value) return false;
    const flags = this.value(row, "flags") ?? 0, flag = byId("flag").value;
    if (flag === "none" ? flags : flag === "any" ? !flags : flag && !(flags & Number(flag))) return false;
    const judged = byId("judged").value;
    if (judged === "none" ? entry.verdict : judged && entry.verdict !== judged) return false;
    return this.ranges.every(({ column, from, to }) => {
      const value = this.value(row, column.value);
      if (from.value === "" && to.value === "") return true;
      return value !== null && (from.value === "" || value >= Number(from.value))
        && (to.value === "" || value <= Number(to.value));
    });
  }

  sortKey(row, name) {
    if (name === "name") return this.data.names[row];
    if (name === "verdict") return this.verdicts.get(this.data.ids[row]).verdict || null;
    return this.value(row, name);
  }

  // Filters and sorts anew. What has no value comes last, either way.
  update() {
    const name = byId("sort").value, sign = byId("descending").checked ? -1 : 1;
    this.shown = this.data.rows.map((_, row) => row).filter(row => this.isShown(row));
    const keys = new Map(this.shown.map(row => [row, this.sortKey(row, name)]));
    this.shown.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
    });
    this.shown.forEach((row, place) => {
      this.mark(row);
      this.items[row].setAttribute("aria-posinset", place + 1);
      this.items[row].setAttribute("aria-setsize", this.shown.length);
    });
    this.element.replaceChildren(...this.shown.map(row => this.items[row]));
    byId("shown").textContent = `${this.shown.length} of ${this.data.rows.length} candidates`;
    if (!this.shown.includes(this.current)) this.select(this.shown[0] ?? -1);
    else this.reveal();
  }

  mark(row) {
    const { verdict } = this.verdicts.get(this.data.ids[row]), sign = this.items[row].querySelector(".sign");
    sign.textContent = SIGNS[verdict];
    sign.dataset.verdict = verdict;
    if (verdict) sign.setAttribute("aria-label", verdict);
    else sign.removeAttribute("aria-label");
  }

  select(row) {
    this.items[this.current]?.setAttribute("aria-selected", "false");
    this.current = row;
    this.items[row]?.setAttribute("aria-selected", "true");
    if (row >= 0) this.element.setAttribute("aria-activedescendant", `row-${row}`);
    else this.element.removeAttribute("aria-activedescendant");
    this.onSelect(row);
    this.reveal(); // last, for it needs the layout, which all changes before it then share
  }

  // Scrolls the list alone, not the page.
  reveal() {
    const item = this.items[this.current];
    if (!item?.isConnected) return;
    const top = item.offsetTop - this.element.offsetTop, bottom = top + item.offsetHeight;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (bottom > this.element.scrollTop + this.element.clientHeight) {
      this.element.scrollTop = bottom - this.element.clientHeight;
    }
  }

  // To the row so many places on, as far as there is one.
  move(steps) {
    const place = this.shown.indexOf(this.current) + steps;
    if (this.shown.length) this.select(this.shown[Math.min(Math.max(place, 0), this.shown.length - 1)]);
  }

  // To the next one without a verdict, from the top again after the last.
  moveToUnjudged() {
    const place = this.shown.indexOf(this.current);
    const order = [...this.shown.slice(place + 1), ...this.shown.slice(0, place + 1)];
    const next = order.find(row => !this.verdicts.get(this.data.ids[row]).verdict);
    if (next !== undefined) this.select(next);
    return next !== undefined;
  }
}
