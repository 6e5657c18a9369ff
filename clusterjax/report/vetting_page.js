"use strict";
// The candidate that is looked at, and what keys and buttons do.

const data = JSON.parse(byId("data").textContent);
const columnOf = name => data.columns.findIndex(column => column.name === name);
const valueOf = (row, name) => data.rows[row][columnOf(name)];
const say = text => { byId("message").textContent = text; };

const verdicts = new Verdicts(
  data.table,
  data.ids.map((id, row) => ({
    id, name: data.names[row], ra_deg: valueOf(row, "ra_deg"), dec_deg: valueOf(row, "dec_deg"),
  })),
  (() => { try { return window.localStorage; } catch { return null; } })(),
  say,
);
let commentOf = -1; // the row that the comment field is of

function links(ra, dec) {
  const place = encodeURIComponent(`${ra} ${dec < 0 ? "" : "+"}${dec}`);
  const { radius_arcmin: radius, field_deg: field } = data;
  return [
    ["Aladin Lite", `https://aladin.cds.unistra.fr/AladinLite/?target=${place}&fov=${field}`],
    ["Legacy Survey viewer",
      `https://www.legacysurvey.org/viewer?ra=${ra}&dec=${dec}&layer=ls-dr10&zoom=14&mark=${ra},${dec}`],
    ["NED", "https://ned.ipac.caltech.edu/conesearch?search_type=Near%20Position%20Search&in_csys=Equatorial"
      + `&in_equinox=J2000&ra=${ra}d&dec=${dec}d&radius=${radius}`],
    ["SIMBAD", `https://simbad.cds.unistra.fr/simbad/sim-coo?Coord=${place}&CooFrame=ICRS&Radius=${radius}`
      + "&Radius.unit=arcmin"],
    ["ESASky", `https://sky.esa.int/esasky/?target=${place}&fov=${field}&sci=false`],
  ];
}

const written = value => (value === null || value === "" ? "–" : String(value));

// Figures of a candidate's pictures; those that it has not are left out.
function pictures(row) {
  return data.pictures.flatMap(({ name, note }, index) => {
    const source = data.images[row][index];
    if (!source) return [];
    const image = make("img", { src: source, alt: `${name} of ${data.names[row]}`, decoding: "sync", title: note });
    return [make("figure", {}, image, make("figcaption", { textContent: name }))];
  });
}

function matchRows(row) {
  return data.catalogues.map(label => {
    const cells = ["status", "name", "separation_arcmin", "chance", "redshift"].map(
      name => make("td", {}, make("bdi", { textContent: written(valueOf(row, `${label}_${name}`)) })));
    return make("tr", {}, make("th", { scope: "row", textContent: label }), ...cells);
  });
}

function columnRows(row) {
  return data.columns.map(({ name, unit, text }, index) => make("div", { title: text },
    make("dt", { textContent: unit ? `${name} [${unit}]` : name }),
    make("dd", {}, make("bdi", { textContent: written(data.rows[row][index]) }))));
}

function flagText(row) {
  const flags = valueOf(row, "flags") ?? 0;
  const set = data.flags.filter(flag => flags & flag.bit);
  return set.map(flag => `${flag.name}: ${flag.meaning}`).join("; ");
}

// Shows a row of the table; -1 for none.
function show(row) {
  keepComment();
  byId("candidate").hidden = row < 0;
  byId("nothing").hidden = row >= 0;
  if (row < 0) return;
  byId("name").textContent = data.names[row];
  byId("position").textContent = data.positions[row];
  byId("standing").textContent = data.statuses[row] ?? "";
  byId("flags").textContent = flagText(row);
  byId("pictures").replaceChildren(...pictures(row));
  byId("links").replaceChildren(...links(valueOf(row, "ra_deg"), valueOf(row, "dec_deg")).map(([name, href]) =>
    make("li", {}, make("a", { href, textContent: name, target: "_blank", rel: "noopener noreferrer" }))));
  byId("matches").tBodies[0].replaceChildren(...matchRows(row));
  byId("columns").replaceChildren(...columnRows(row));
  commentOf = row;
  byId("comment").value = verdicts.get(data.ids[row]).comment;
  showVerdict(row);
}

function showVerdict(row) {
  const { verdict } = verdicts.get(data.ids[row]);
  for (const button of document.querySelectorAll("[data-verdict][type=button]")) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
  }
  const counts = verdicts.counts(), total = Object.values(counts).reduce((a, b) => a + b);
  byId("progress").max = data.ids.length;
  byId("progress").value = total;
  byId("counts").textContent = `${total} of ${data.ids.length} judged: `
    + `${counts.cluster} cluster, ${counts.not} not, ${counts.unsure} unsure`;
  byId("undo").disabled = !verdicts.past.length;
}

function keepComment() {
  if (commentOf < 0) return;
  verdicts.set(data.ids[commentOf], { comment: byId("comment").value });
  commentOf = -1;
}

// The same verdict again takes it back.
function judge(word) {
  const row = list.current;
  if (row < 0) return;
  const verdict = verdicts.get(data.ids[row]).verdict === word ? "" : word;
  verdicts.set(data.ids[row], { verdict });
  list.mark(row);
  say(`${data.names[row]}: ${verdict || "no verdict"}`);
  if (verdict && byId("advance").checked) list.move(1);
  showVerdict(list.current);
}

function undo() {
  keepComment();
  const rows = verdicts.undo().map(id => data.ids.indexOf(id));
  rows.forEach(row => list.mark(row));
  if (!rows.length) say("There is nothing to undo.");
  else {
    say(rows.length > 1 ? `${rows.length} verdicts are as before.` : `${data.names[rows[0]]} is as before.`);
    list.select(rows[0]);
  }
}

function exportCsv() {
  keepComment();
  verdicts.voter = byId("voter").value.trim();
  if (!verdicts.voter) {
    say("Who are you? Give your name first.");
    byId("voter").focus();
    return;
  }
  verdicts.save();
  const href = URL.createObjectURL(new Blob([verdicts.toCsv()], { type: "text/csv;charset=utf-8" }));
  const who = verdicts.voter.normalize("NFKD").replace(/[^A-Za-z0-9]+/g, " ").trim().replaceAll(" ", "_").slice(0, 40);
  make("a", { href, download: `verdicts_${who}_${data.table.slice(-8)}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10000);
  say("Exported: see your downloads.");
}

async function importCsv(event) {
  const [file] = event.target.files;
  if (!file) return;
  keepComment();
  verdicts.voter = byId("voter").value.trim();
  try {
    const number = verdicts.fromCsv(await file.text());
    byId("voter").value = verdicts.voter;
    list.update();
    list.select(list.current);
    say(`${number} verdicts imported.`);
  } catch (error) {
    say(error.message);
    commentOf = list.current;
  }
  event.target.value = "";
}

const list = new CandidateList(data, verdicts, show);

const KEYS = {
  y: () => judge("cluster"), 1: () => judge("cluster"),
  n: () => judge("not"), 2: () => judge("not"),
  u: () => judge("unsure"), 3: () => judge("unsure"),
  j: () => list.move(1), ArrowDown: () => list.move(1), ArrowRight: () => list.move(1),
  k: () => list.move(-1), ArrowUp: () => list.move(-1), ArrowLeft: () => list.move(-1),
  Home: () => list.move(-Infinity), End: () => list.move(Infinity),
  x: () => list.moveToUnjudged() || say("All listed candidates have a verdict."),
  z: undo,
  c: () => byId("comment").focus(),
  "/": () => { byId("filters").open = true; byId("search").focus(); },
  "?": () => byId("help").showModal(),
};

document.addEventListener("keydown", event => {
  if (byId("help").open || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select")) {
    if (event.key === "Escape") {
      event.preventDefault(); // or a search field is emptied
      event.target.blur();
      byId("list").focus({ preventScroll: true });
    }
    return;
  }
  if ((event.ctrlKey || event.metaKey) && event.key !== "z") return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

document.querySelectorAll("[data-verdict][type=button]").forEach(
  button => button.addEventListener("click", () => judge(button.dataset.verdict)));
byId("next").addEventListener("click", () => list.move(1));
byId("previous").addEventListener("click", () => list.move(-1));
byId("undo").addEventListener("click", undo);
byId("export").addEventListener("click", exportCsv);
byId("import").addEventListener("change", importCsv);
byId("show-help").addEventListener("click", () => byId("help").showModal());
byId("comment").addEventListener("change", () => {
  keepComment();
  commentOf = list.current;
  showVerdict(list.current);
});
byId("voter").value = verdicts.voter;
byId("voter").addEventListener("change", () => { verdicts.voter = byId("voter").value.trim(); verdicts.save(); });
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
// Another tab with the same table has changed something.
window.addEventListener("storage", event => {
  if (event.key !== STORED + data.table) return;
  verdicts.load();
  verdicts.past = [];
  list.update();
  list.select(list.current);
});
window.addEventListener("pagehide", keepComment);
// On paper: all candidates that are listed, one below the other.
window.addEventListener("beforeprint", () => {
  keepComment();
  byId("paper").replaceChildren(...list.shown.map(row => {
    const { verdict, comment } = verdicts.get(data.ids[row]);
    return make("section", {},
      make("h2", {}, make("bdi", { textContent: data.names[row] }), ` ${verdict && `– ${verdict}`}`),
      make("p", { textContent: `${data.positions[row]}, score ${valueOf(row, "score")} ${data.statuses[row] ?? ""}` }),
      make("p", {}, make("bdi", { textContent: comment })),
      make("div", { className: "pictures" }, ...pictures(row)));
  }));
  commentOf = list.current;
});
window.addEventListener("afterprint", () => byId("paper").replaceChildren());
showVerdict(list.current);
