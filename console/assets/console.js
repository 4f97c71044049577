// What a script adds to pages that work without one: what changes is fetched, commands are copied, keys lead to places.
// @ts-check

/** How often a page is asked for anew in any case, in milliseconds: the stream of events sees no run older than the newest hundred. */
const SLOW = 15_000;
/** The least time between two fetches of a page. */
const PAUSE = 1_000;
/** Most lines of a log that is followed: the oldest make way. */
const MAX_LINES = 5_000;
/** Most characters of one: what is older has its own page. */
const MAX_TEXT = 500_000;
/** How often a log that is followed is asked for. */
const FOLLOW = 1_000;

const main = () => /** @type {HTMLElement} */ (document.getElementById("main"));
const topic = () => main()?.dataset.live ?? "";

// --- A page is fetched anew and patched in place: what someone has opened or written stays.

let fetched = 0;
let waiting = false;
let paused = false;

/** Whether someone is in the middle of something that a patch would disturb. */
function isBusy() {
  const at = document.activeElement;
  const selection = document.getSelection();
  const isSelecting = selection && !selection.isCollapsed && main().contains(selection.anchorNode);
  return paused || isSelecting || document.querySelector("dialog[open]") || (at && at.matches("main input, main textarea, main select"))
    || document.querySelector('main input[type="checkbox"][name="run"]:checked');
}

async function refresh() {
  if (waiting) return;
  waiting = true;
  await new Promise((done) => setTimeout(done, Math.max(0, fetched + PAUSE - Date.now())));
  waiting = false;
  if (document.hidden || isBusy()) return;
  fetched = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "manual" });
    // A console that was started again knows no session of before.
    if (answer.type === "opaqueredirect" || answer.status === 401) return say("logged out: load the page again to log in");
    if (!answer.ok) return say(`not up to date: the console answers ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    if (!fresh || isBusy()) return;
    // @ts-ignore
    window.Idiomorph.morph(main(), fresh, {
      callbacks: {
        // The outcome of an act is shown once: the page that is fetched has it no more.
        beforeNodeRemoved: (gone) => !(gone instanceof Element && gone.matches('p.notice[role="status"]')),
        beforeNodeMorphed: (was, is) => {
          if (!(was instanceof Element)) return true;
          // A form or a list of choices that is open belongs to its user.
          if (was.matches("details[open]") && is instanceof Element) is.setAttribute("open", "");
          return !was.matches("[data-keep]:has(details[open]), details[open][data-keep], form[data-keep]");
        },
      },
    });
    document.title = page.title;
    const [was, is] = [document.querySelector("footer p time"), page.querySelector("footer p time")];
    if (was && is) was.replaceWith(is);
    if (trouble) say(isLive() ? "live" : "");
  } catch {
    say("not reached");
  }
}

// --- One stream of events a browser: one tab holds it and tells the others. A hidden tab lets go of it.

/** @type {EventSource | null} */
let source = null;
let isHolder = false;
let release = () => {};
const channel = "BroadcastChannel" in window ? new BroadcastChannel("pumice-live") : null;

/** Whether the last word was of something wrong. */
let trouble = false;
const isLive = () => source?.readyState === EventSource.OPEN;

function say(word) {
  trouble = word !== "" && word !== "live";
  const place = document.getElementById("live-word");
  if (place) place.textContent = word ? `· ${word}` : "";
}

/** @param {Record<string, number>} runs */
function heard(runs) {
  const about = topic();
  const keys = Object.keys(runs);
  if (about === "runs" || (about && about !== "slow" && keys.some((key) => key.startsWith(about)))) refresh();
}

function listen() {
  if (source || document.hidden || paused) return;
  source = new EventSource("/live");
  source.addEventListener("sync", () => {
    say("live");
    // What changed after the page was made and before the stream began has no event.
    refresh();
  });
  source.addEventListener("change", (event) => {
    const runs = JSON.parse(event.data);
    say("live");
    heard(runs);
    channel?.postMessage(runs);
  });
  source.addEventListener("error", () => {
    say("not live");
    // The browser tries again by itself, except after an answer that is not a stream.
    if (source?.readyState === EventSource.CLOSED) source = null;
  });
}

function hush() {
  source?.close();
  source = null;
  isHolder = false;
  release();
}

/** Holds the stream once no other tab does. */
function hold() {
  if (!topic() || topic() === "slow" || document.hidden) return;
  if (!navigator.locks) {
    isHolder = true;
    return listen();
  }
  navigator.locks.request("pumice-live", () => new Promise((done) => {
    if (document.hidden || paused) return done(undefined);
    release = () => done(undefined);
    isHolder = true;
    listen();
  }));
}

channel?.addEventListener("message", (event) => {
  say("live");
  if (!document.hidden) heard(event.data);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return hush();
  hold();
  if (topic()) refresh();
});
setInterval(() => {
  if (isHolder) listen();
  if (topic()) refresh();
}, SLOW);
hold();

// --- Logs that are followed: what has come since is added at their ends.

/** A part of a line that has a mark where it is cut. */
const cut = () => Object.assign(document.createElement("em"), { className: "cut", textContent: "…" });
/** @type {WeakSet<Element>} */
const shown = new WeakSet();

/** Shows the end of a log that is only part of its page, the first time. */
function showEnds() {
  for (const log of document.querySelectorAll("pre.log:not(.numbered)")) {
    if (!shown.has(log)) log.scrollTop = log.scrollHeight;
    shown.add(log);
  }
}

/** @param {HTMLElement} log */
async function grow(log) {
  const { follow, next, line } = log.dataset;
  const answer = await fetch(`${follow}&from=${next}&line=${line}`);
  // The page was patched meanwhile, and has it already.
  if (log.dataset.next !== next || !log.isConnected) return;
  const [piece, word] = [answer.ok ? await answer.json() : null, document.getElementById("follow-word")];
  if (!piece) return;
  const isPage = log.id === "log";
  const box = isPage ? document.documentElement : log;
  const isAtEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 40;
  for (const one of piece.lines) {
    const row = document.createElement("span");
    if (isPage) {
      const number = document.createElement("a");
      number.textContent = `${one.number}`;
      row.id = `L${one.number}`;
      number.href = `#L${one.number}`;
      row.append(number);
    }
    if (one.is_cut_before) row.append(cut());
    row.append(one.text);
    if (one.is_cut_after) row.append(cut());
    row.append("\n");
    log.append(row);
  }
  const empty = log.nextElementSibling;
  if (piece.lines.length && empty?.matches(".empty")) empty.remove();
  while (log.children.length > 1 && (log.children.length > MAX_LINES || (log.textContent ?? "").length > MAX_TEXT)) log.firstElementChild?.remove();
  const isDone = !piece.is_open && `${piece.next}` === next;
  log.dataset.next = `${piece.next}`;
  log.dataset.line = `${piece.line}`;
  if (isDone) delete log.dataset.follow;
  if (piece.lines.length && isAtEnd) box.scrollTop = box.scrollHeight;
  if (!isPage) return;
  const size = document.getElementById("size");
  if (size) size.textContent = `${piece.size}`;
  if (word) word.textContent = isDone ? "The run has ended." : "Following.";
}
async function follow() {
  showEnds();
  const logs = document.hidden || paused ? [] : document.querySelectorAll("pre[data-follow]");
  for (const log of logs) await grow(/** @type {HTMLElement} */ (log)).catch(() => {});
  // On AWS each look costs.
  setTimeout(follow, document.querySelector("pre[data-slow]") ? 5 * FOLLOW : FOLLOW);
}
follow();

// --- A graph begins at its first node, which may be far from the corner.

function begin() {
  for (const box of document.querySelectorAll(".graph")) {
    const node = box.querySelector(".node");
    if (shown.has(box) || !node) continue;
    shown.add(box);
    const [inner, outer] = [node.getBoundingClientRect(), box.getBoundingClientRect()];
    if (inner.bottom > outer.bottom) box.scrollTop += (inner.top + inner.bottom - outer.top - outer.bottom) / 2;
    if (inner.right > outer.right) box.scrollLeft += (inner.left + inner.right - outer.left - outer.right) / 2;
  }
}
begin();

// --- Commands are copied, by the button or by the key c.

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The clipboard asks for https elsewhere than on this machine.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("button[data-copy]") : null;
  if (!(button instanceof HTMLElement)) return;
  await copy(button.dataset.copy ?? "");
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1_200);
});

// --- The number of runs that are chosen stands on the button that acts on them.

document.addEventListener("change", () => {
  for (const button of document.querySelectorAll("button[data-count]")) {
    const name = /** @type {HTMLElement} */ (button).dataset.count;
    const chosen = document.querySelectorAll(`input[name="${name}"]:checked`).length;
    button.textContent = chosen ? `Cancel ${chosen} ${chosen === 1 ? name : `${name}s`}…` : "Cancel the chosen runs…";
  }
});

// --- The zone of this browser is offered along with the realm's.

const zones = document.querySelector("select[data-zones]");
const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zones instanceof HTMLSelectElement && own && ![...zones.options].some((option) => option.value === own)) {
  zones.add(new Option(`${own} (mine)`, own));
}

// --- Keys: c copies, / searches, p pauses, j and k go through rows, g and a letter goes to a page, Ctrl-K finds one.

const PAGES = { n: "/", r: "/runs", f: "/failures", j: "/jobs", s: "/schedules", w: "/workers", t: "/triggers", c: "/connections", x: "/state", a: "/audit", d: "/doctor" };
let began = 0;

/** @param {number} by */
function step(by) {
  const rows = [...document.querySelectorAll("main tbody tr, main [data-row], .tree .step")];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
  if (!(row instanceof HTMLElement)) return;
  const to = row.querySelector("td.i a, a, summary, button") ?? row;
  // A row that leads nowhere can be read all the same.
  if (to === row) row.tabIndex = -1;
  if (to instanceof HTMLElement) to.focus();
}

/** Opens the form that a link within the page leads to. */
function open() {
  let id = location.hash.slice(1);
  try { id = decodeURIComponent(id); } catch { /* It is written otherwise than a link of the console's. */ }
  const form = id && document.getElementById(id);
  if (!(form instanceof HTMLDetailsElement)) return;
  form.open = true;
  form.querySelector("summary")?.focus();
}
addEventListener("hashchange", open);
// Later the browser itself goes to the place of the link.
addEventListener("load", open);
open();

/** The acts of this page: a form is opened, and nothing is sent. */
function acts() {
  const forms = [...document.querySelectorAll("main details.act > summary")].map((one) => ({
    name: `${one.closest("tr")?.querySelector("a")?.textContent ?? ""} ${one.textContent}`.trim(),
    act: () => { /** @type {HTMLDetailsElement} */ (one.parentElement).open = true; /** @type {HTMLElement} */ (one).focus(); },
  }));
  const button = document.querySelector("main .head button[data-copy]");
  if (button instanceof HTMLElement) forms.push({ name: "Copy the command", act: () => button.click() });
  return forms;
}

function palette() {
  const dialog = document.createElement("dialog");
  dialog.className = "palette";
  dialog.setAttribute("aria-label", "Go to a page, a job or a run, or begin an act");
  const input = document.createElement("input");
  input.placeholder = "A page, a job, the beginning of a run's id; pause, run, edit, cancel …";
  input.setAttribute("aria-label", input.placeholder);
  const list = document.createElement("ul");
  /** @type {{name: string, href?: string, act?: () => void}[]} */
  let found = [];
  // The text that they were found for.
  let of = "";
  const show = () => {
    const isOf = of === input.value.trim();
    const text = input.value.trim().toLowerCase();
    const pages = [...document.querySelectorAll(".side nav a")].map((a) => ({ name: a.textContent ?? "", href: a.getAttribute("href") ?? "/" }));
    const local = [...pages, ...acts()].filter((one) => one.name.toLowerCase().includes(text));
    const lists = text ? [
      { name: `Jobs like *${input.value.trim()}*`, href: `/jobs?${new URLSearchParams({ pattern: `*${input.value.trim()}*` })}` },
      { name: `Runs of *${input.value.trim()}*`, href: `/runs?${new URLSearchParams({ job: `*${input.value.trim()}*` })}` },
    ] : [];
    list.replaceChildren(...[...(isOf ? found : []), ...local, ...lists].map((one) => {
      const [row, link] = [document.createElement("li"), document.createElement("a")];
      link.href = one.href ?? "#";
      link.textContent = one.name;
      link.addEventListener("click", (event) => {
        dialog.close();
        if (!one.act) return;
        event.preventDefault();
        one.act();
      });
      row.append(link);
      return row;
    }));
  };
  const ask = async () => {
    const text = input.value.trim();
    const answer = text ? await fetch(`/palette?${new URLSearchParams({ text })}`) : null;
    if (text !== input.value.trim()) return;
    const places = answer?.ok ? await answer.json() : [];
    if (text !== input.value.trim()) return;
    [found, of] = [places, text];
    show();
  };
  let timer = 0;
  input.addEventListener("input", () => {
    show();
    clearTimeout(timer);
    timer = setTimeout(() => ask().catch(() => {}), 120);
  });
  const enter = async () => {
    const text = input.value.trim();
    // What is found for this text comes before what the page has.
    if (of !== text) await ask().catch(() => {});
    if (dialog.open && text === input.value.trim()) list.querySelector("a")?.click();
  };
  input.addEventListener("keydown", (event) => {
    const first = list.querySelector("a");
    if (event.key === "Enter") { event.preventDefault(); enter(); }
    if (event.key === "ArrowDown" && first) { event.preventDefault(); first.focus(); }
  });
  list.addEventListener("keydown", (event) => {
    const row = document.activeElement?.closest("li");
    const to = event.key === "ArrowDown" ? row?.nextElementSibling : event.key === "ArrowUp" ? row?.previousElementSibling : null;
    const link = to?.querySelector("a");
    if (link) { link.focus(); event.preventDefault(); }
  });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(input, list);
  document.body.append(dialog);
  show();
  dialog.showModal();
}

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "k") {
    event.preventDefault();
    if (!document.querySelector("dialog[open]")) palette();
    return;
  }
  const at = event.target instanceof Element ? event.target : null;
  if (event.ctrlKey || event.metaKey || event.altKey || at?.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
  if (Date.now() - began < 1_500 && event.key in PAGES) {
    location.href = PAGES[/** @type {keyof typeof PAGES} */ (event.key)];
    return;
  }
  began = event.key === "g" ? Date.now() : 0;
  switch (event.key) {
    case "c": /** @type {HTMLElement | null} */ (document.querySelector("main .head button[data-copy]"))?.click(); break;
    case "/": {
      const field = document.querySelector("[data-search]");
      if (field instanceof HTMLElement) { field.focus(); event.preventDefault(); }
      break;
    }
    case "j": step(1); break;
    case "k": step(-1); break;
    case "p":
      paused = !paused;
      if (paused) { hush(); say("paused: p goes on"); } else { say(""); hold(); refresh(); }
      break;
  }
});
