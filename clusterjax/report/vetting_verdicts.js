"use strict";
// Verdicts: kept in the browser, undone, written as CSV and read from it. Knows nothing of the page.

const WORDS = ["cluster", "not", "unsure"];
const FIELDS = ["voter", "table", "candidate", "name", "ra_deg", "dec_deg", "verdict", "comment", "time"];
const STORED = "clusterjax-vetting:";

// Spreadsheets take a field that begins so for a formula. An apostrophe before it makes it text; reading takes it off.
const guard = text => (/^'*[=+\-@\t\r]/.test(text) ? `'${text}` : text);
const unguard = text => (/^'+[=+\-@\t\r]/.test(text) ? text.slice(1) : text);
const csvText = text => `"${guard(String(text)).replaceAll('"', '""')}"`;

// Rows of fields; quotes, line breaks within them, and the semicolons of some countries' spreadsheets are understood.
function parseCsv(text) {
  text = text.replace(/^\uFEFF/, "");
  const head = text.split(/\r?\n/, 1)[0];
  const separator = head.includes(";") && !head.includes(",") ? ";" : ",";
  const rows = [];
  let row = [], field = "", quoted = false;
  const endField = () => { row.push(field); field = ""; };
  const endRow = () => {
    endField();
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  };
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (quoted) {
      if (letter !== '"') field += letter;
      else if (text[i + 1] === '"') { field += '"'; i++; }
      else quoted = false;
    } else if (letter === '"' && field === "") quoted = true;
    else if (letter === separator) endField();
    else if (letter === "\n") endRow();
    else if (letter !== "\r") field += letter;
  }
  endRow();
  return rows;
}

class Verdicts {
  // `table` is the candidate table's hash, `candidates` are {id, name, ra_deg, dec_deg} in its order.
  constructor(table, candidates, storage, onProblem) {
    this.table = table;
    this.candidates = candidates;
    this.ids = new Set(candidates.map(one => one.id));
    this.storage = storage;
    this.onProblem = onProblem;
    this.past = []; // what to go back to: each step is [[id, entry or undefined], ...]
    this.load();
  }

  get(id) { return this.entries.get(id) ?? { verdict: "", comment: "", time: "" }; }

  counts() {
    const counts = Object.fromEntries(WORDS.map(word => [word, 0]));
    for (const entry of this.entries.values()) if (entry.verdict) counts[entry.verdict]++;
    return counts;
  }

  // Changes a candidate's verdict ("" for none) or comment.
  set(id, change) {
    const before = this.entries.get(id), old = this.get(id);
    const entry = { ...old, ...change, time: new Date().toISOString() };
    if (entry.verdict === old.verdict && entry.comment === old.comment) return;
    this.past.push([[id, before]]);
    this.put(id, entry);
    this.save();
  }

  put(id, entry) {
    if (entry && (entry.verdict || entry.comment)) this.entries.set(id, entry);
    else this.entries.delete(id);
  }

  // Takes the last step back; returns the candidates that it changed.
  undo() {
    const step = this.past.pop() ?? [];
    for (const [id, entry] of step) this.put(id, entry);
    if (step.length) this.save();
    return step.map(([id]) => id);
  }

  load() {
    this.voter = "";
    this.entries = new Map();
    try {
      this.voter = this.storage.getItem(`${STORED}voter`) ?? "";
      const stored = JSON.parse(this.storage.getItem(STORED + this.table) ?? "[]");
      for (const [id, entry] of stored) {
        const sound = this.ids.has(id) && (entry.verdict === "" || WORDS.includes(entry.verdict));
        if (sound) this.put(id, { verdict: entry.verdict, comment: String(entry.comment), time: String(entry.time) });
      }
    } catch {
      this.onProblem("What this browser kept cannot be read. Import the file that you exported last.");
    }
  }

  save() {
    try {
      this.storage.setItem(`${STORED}voter`, this.voter);
      this.storage.setItem(STORED + this.table, JSON.stringify([...this.entries]));
    } catch {
      this.onProblem("This browser keeps nothing. Export your verdicts before you close the page.");
    }
  }

  toCsv() {
    const lines = [FIELDS.join(",")];
    for (const { id, name, ra_deg, dec_deg } of this.candidates) {
      const { verdict, comment, time } = this.get(id);
      if (!verdict && !comment) continue;
      lines.push([
        csvText(this.voter), csvText(this.table), id, csvText(name), ra_deg, dec_deg,
        csvText(verdict), csvText(comment), csvText(time),
      ].join(","));
    }
    return lines.join("\r\n") + "\r\n";
  }

  // Of a file that was exported: the later of two verdicts counts. Returns how many changed; throws what is wrong.
  fromCsv(text) {
    const [head = [], ...rows] = parseCsv(text);
    const place = Object.fromEntries(FIELDS.map(name => [name, head.indexOf(name)]));
    for (const name of ["voter", "table", "candidate", "verdict"]) {
      if (place[name] < 0) throw new Error(`This is no file of verdicts: it has no column ${name}.`);
    }
    const found = [];
    rows.forEach((row, index) => {
      const field = name => unguard(row[place[name]] ?? "");
      const where = `Row ${index + 2}`;
      const id = Number(field("candidate")), verdict = field("verdict");
      if (field("table") !== this.table) throw new Error(`${where} is of another table of candidates.`);
      if (!this.ids.has(id)) throw new Error(`${where}: there is no candidate ${field("candidate")}.`);
      if (verdict !== "" && !WORDS.includes(verdict)) {
        throw new Error(`${where}: “${verdict}” is none of ${WORDS.join(", ")}.`);
      }
      if (this.voter && field("voter") !== this.voter) {
        throw new Error(`${where} is by ${field("voter")}, not ${this.voter}: clusterjax vet joins several people's.`);
      }
      found.push([id, { verdict, comment: field("comment"), time: field("time") }, field("voter")]);
    });
    const newer = found.filter(([id, entry]) => !this.entries.has(id) || entry.time > this.get(id).time);
    if (newer.length) this.past.push(newer.map(([id]) => [id, this.entries.get(id)]));
    for (const [id, entry, voter] of newer) {
      this.put(id, entry);
      this.voter = voter;
    }
    this.save();
    return newer.length;
  }
}
