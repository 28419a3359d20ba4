"use strict";
/* The operator's page. The token is a variable of this function: no storage, no URL, gone with the
   tab. Whatever comes from outside is put there as text, never as markup. */
(() => {
  const OVERVIEW_MS = 1000, HIDDEN_MS = 10000, SESSIONS_MS = 5000, QUIET_MS = 40000, NEWS_MS = 5000;
  const RECORDS = 200, SESSIONS = 10;
  const ENDS = {
    revoked: "The token was revoked.", expired: "The token has expired.", rotated: "The token’s secret was replaced.",
    scope: "The token may not read the audit trail any more.", owner: "The owner of the token may not ask any more.",
  };
  let token = null, visit = 0, overviewTimer = 0, sessionsTimer = 0;
  let position = "", stream = null, known = new Set(), paused = false, held = [], unread = 0, lastNews = 0;
  let filters = { outcome: "", user: "" };

  const $ = (id) => document.getElementById(id);
  const say = (id, text) => { const e = $(id); if (e.textContent !== text) e.textContent = text; };
  const number = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en"));
  const plural = (n, one, many) => number(n) + " " + (n === 1 ? one : many);
  const sum = (list, of) => list.reduce((total, x) => total + of(x), 0);

  /* make("td", {class: "n"}, "text", child, …) */
  function make(name, attributes, ...children) {
    const e = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
    for (const child of children) e.append(child);
    return e;
  }

  function clock(text) {
    const at = new Date(text);
    const today = at.toDateString() === new Date().toDateString();
    const time = at.toLocaleTimeString("en-GB");
    const shown = today ? time : at.toLocaleDateString("en-GB", { day: "numeric", month: "short" }) + " " + time.slice(0, 5);
    return make("time", { datetime: text, title: text }, shown);
  }

  function ago(text) {
    const s = Math.max(0, Math.round((Date.now() - new Date(text)) / 1000));
    if (s < 60) return s + " s ago";
    if (s < 3600) return Math.floor(s / 60) + " min ago";
    if (s < 86400) return Math.floor(s / 3600) + " h ago";
    return Math.floor(s / 86400) + " d ago";
  }

  /* ---- asking ---- */

  class Refused extends Error {
    constructor(status, problem) {
      super((problem && problem.detail) || "HTTP " + status);
      this.status = status;
      this.hint = problem && problem.hint;
    }
  }

  async function get(path, options) {
    const answer = await fetch(path, {
      ...options, cache: "no-store", credentials: "omit", redirect: "error",
      headers: { Authorization: "Bearer " + token, ...(options && options.headers) },
    });
    if (answer.ok) return answer;
    let problem = null;
    try { problem = await answer.json(); } catch { /* no problem document */ }
    throw new Refused(answer.status, problem);
  }

  const json = async (path) => (await get(path, { signal: AbortSignal.timeout(15000) })).json();

  function link(state, text) {
    $("link").dataset.state = state;
    say("link-text", text);
  }

  function trouble(text) {
    $("trouble").hidden = !text;
    say("trouble", text || "");
  }

  /* ---- in and out ---- */

  function signOut(why) {
    token = null;
    visit++;
    if (stream) stream.abort();
    clearTimeout(overviewTimer);
    clearTimeout(sessionsTimer);
    stream = null;
    position = "";
    known = new Set();
    held = [];
    $("house").hidden = true;
    $("sign-out").hidden = true;
    $("door").hidden = false;
    for (const id of ["trail", "letters", "breakers"]) $(id).replaceChildren();
    for (const id of ["workers", "live"]) $(id).tBodies[0].replaceChildren();
    for (const id of ["workers-empty", "letters-empty", "live-empty", "trail-empty"]) { $(id).hidden = false; say(id, "Loading…"); }
    say("seen", "");
    trouble("");
    say("door-error", why || "");
    link("out", "Signed out");
    $("token").value = "";
    $("token").focus();
  }

  async function signIn(given) {
    const button = $("sign-in").querySelector("button");
    button.disabled = true;
    say("door-error", "");
    token = given;
    try {
      const overview = await json("/api/overview");
      visit++;
      $("token").value = "";
      $("door").hidden = true;
      $("house").hidden = false;
      $("sign-out").hidden = false;
      show(overview);
      $("main").focus({ preventScroll: true });
      window.scrollTo(0, 0);
      overviewTimer = setTimeout(refresh, OVERVIEW_MS);
      sessions();
      begin();
    } catch (e) {
      token = null;
      say("door-error", e.status === 401 ? "This token is not good: unknown, expired or revoked."
        : e.status === 403 ? "Not allowed: " + e.message + "."
        : e.status ? e.message + "." : "The gateway does not answer. Is it running?");
      $("token").select();
    } finally {
      button.disabled = false;
    }
  }

  /* 401 ends the visit, whatever asked. */
  function over(e) {
    if (e.status === 401) signOut("The token is not good any more: it was revoked, replaced, or has expired.");
    return e.status === 401;
  }

  /* ---- overview ---- */

  async function refresh() {
    const mine = visit;
    clearTimeout(overviewTimer);
    try {
      const overview = await json("/api/overview");
      if (mine !== visit) return;
      trouble("");
      show(overview);
    } catch (e) {
      if (mine !== visit || over(e)) return;
      trouble("What is shown may be old: " + (e.status ? e.message : "the gateway does not answer") + ". Trying again.");
    }
    clearTimeout(overviewTimer);
    overviewTimer = setTimeout(refresh, document.hidden ? HIDDEN_MS : OVERVIEW_MS);
  }

  let soon = 0;
  function refreshSoon() {
    if (soon || !token) return;
    soon = setTimeout(() => { soon = 0; if (token) refresh(); }, 300);
  }

  function show(o) {
    const c = o.capacity || { capacity: 0, activeInstances: 0 };
    say("capacity", number(c.activeInstances) + " of " + number(c.capacity));
    $("capacity-bar").style.setProperty("width", Math.min(100, c.capacity ? (100 * c.activeInstances) / c.capacity : 0) + "%");
    $("capacity-bar").className = c.quotaLimitReached ? "full" : "";
    say("capacity-note", c.quotaLimitReached ? "Full: starts are refused" : plural(c.capacity - c.activeInstances, "place free", "places free"));
    const live = sum(o.sessions, (s) => s.count);
    say("sessions", number(live));
    say("sessions-note", live ? o.sessions.map((s) => number(s.count) + " " + s.status).join(", ") : "None is live");
    const waits = sum(o.workers, (w) => w.waiting), heldUp = sum(o.workers, (w) => w.heldByBreaker + w.heldOtherwise);
    const behind = sum(o.workers, (w) => w.behind);
    say("waiting", number(waits));
    say("waiting-note", heldUp || behind ? number(behind) + " behind, " + number(heldUp) + " held" : "Nothing is behind or held");
    say("dead", number(o.deadLetterCount));
    $("dead-card").classList.toggle("some", o.deadLetterCount > 0);
    say("dead-note", o.deadLetterCount ? "waiting for a person" : "Nothing was given up");
    showWorkers(o.workers);
    showBreakers(o.breakers);
    showLetters(o.deadLetters, o.deadLetterCount);
    say("seen", "As of " + new Date(o.at).toLocaleTimeString("en-GB") + (o.workers.some((w) => w.lag === null) ? "; the brokers have not told yet, so no lag is known" : ""));
  }

  /* Rows are replaced when they have changed, so that what a reader is at stays. */
  function fill(table, rows) {
    const body = table.tBodies[0], labels = [...table.tHead.rows[0].cells].map((c) => c.textContent);
    rows.forEach((cells, i) => {
      const key = JSON.stringify(cells);
      if (body.rows[i] && body.rows[i].dataset.key === key) return;
      const row = make("tr", { role: "row", "data-key": key });
      cells.forEach((cell, k) => {
        const name = k ? "td" : "th", at = { role: k ? "cell" : "rowheader", "data-label": labels[k] };
        if (!k) at.scope = "row";
        if (cell.class) at.class = cell.class;
        row.append(make(name, at, cell.tag ? make("span", { class: "tag " + cell.tag }, cell.text) : cell.time ? clock(cell.time) : cell.text));
      });
      if (body.rows[i]) body.rows[i].replaceWith(row);
      else body.append(row);
    });
    while (body.rows.length > rows.length) body.lastElementChild.remove();
  }

  function count(n, tone) {
    return { text: number(n), class: "n" + (n ? (tone ? " " + tone : "") : " zero") };
  }

  function showWorkers(workers) {
    $("workers-empty").hidden = workers.length > 0;
    say("workers-empty", "No worker has ever been seen.");
    fill($("workers"), workers.map((w) => [
      { text: w.worker },
      w.up ? { text: w.up === 1 ? "yes" : number(w.up), tag: "good" } : { text: "down", tag: "bad" },
      count(w.lag), count(w.runnable), count(w.waiting, "warn"), count(w.behind), count(w.heldByBreaker + w.heldOtherwise, "warn"), count(w.deadLetters, "bad"),
    ]));
  }

  function showBreakers(breakers) {
    const open = breakers.filter((b) => b.state !== "closed");
    const key = JSON.stringify(open.map((b) => [b.dependency, b.worker, b.state, b.held]));
    if ($("breakers").dataset.key === key) return;
    $("breakers").dataset.key = key;
    $("breakers").replaceChildren(...open.map((b) => make("li", null, b.dependency + " is " + b.state + " in " + b.worker + (b.held ? ", " + number(b.held) + " held" : ""))));
  }

  function letter(g) {
    const kind = (g.type || "unknown").replace(/^drawbridge\./, "");
    return make("li", { class: "letter", "data-key": g.fingerprint || "" },
      make("h3", null,
        make("span", null, kind + (g.count > 1 ? " × " + number(g.count) : "")),
        make("span", { class: "when", "data-at": g.lastAt }, ago(g.lastAt))),
      make("p", null, g.message || "no message"),
      make("p", { class: "facts" },
        make("span", { class: "tag bad" }, g.class || "unknown"),
        make("span", null, (g.code || "") + (g.place ? " at " + g.place : "")),
        make("span", null, plural(g.subjects, "resource", "resources") + ", " + g.workers.join(", ")),
        make("code", null, "drawbridge dlq show " + g.exampleId)));
  }

  function showLetters(groups, total) {
    const list = $("letters"), empty = $("letters-empty");
    empty.hidden = groups !== null && groups.length > 0;
    say("letters-empty", groups === null ? "This token may not read dead letters (scope dlq:read); there " + (total === 1 ? "is 1." : "are " + number(total) + ".")
      : "Nothing was given up.");
    const key = JSON.stringify((groups || []).map((g) => [g.fingerprint, g.type, g.count, g.lastAt]));
    if (list.dataset.key !== key) {
      list.dataset.key = key;
      list.replaceChildren(...(groups || []).map(letter));
    }
    for (const when of list.querySelectorAll(".when")) {
      const text = ago(when.dataset.at);
      if (when.textContent !== text) when.textContent = text;
    }
  }

  /* ---- sessions ---- */

  async function sessions() {
    const mine = visit;
    try {
      const page = await json("/api/vpn/status?status=live&limit=" + SESSIONS);
      if (mine !== visit) return;
      const tones = { active: "good", provisioning: "", idle: "", terminating: "" };
      $("live").hidden = page.sessions.length === 0;
      $("live-empty").hidden = page.sessions.length > 0;
      say("live-empty", "No session is live.");
      fill($("live"), page.sessions.map((s) => [
        { text: s.userId }, { text: s.status, tag: tones[s.status] || "" }, { text: s.clientIpAddress || "–" },
        { time: s.createdAt }, { text: s.sessionId.slice(0, 8) },
      ]));
    } catch (e) {
      if (mine !== visit || over(e)) return;
      $("live").hidden = true;
      $("live-empty").hidden = false;
      say("live-empty", e.status === 403 ? "This token may not see sessions (scope sessions:read)." : "Sessions cannot be read for the moment.");
    }
    sessionsTimer = setTimeout(sessions, document.hidden ? HIDDEN_MS : SESSIONS_MS);
  }

  /* ---- the trail ---- */

  function query(more) {
    const q = new URLSearchParams(more);
    for (const [name, value] of Object.entries(filters)) if (value) q.set(name, value);
    const text = q.toString();
    return text ? "?" + text : "";
  }

  function item(r, fresh) {
    const tone = { success: "good", failure: "bad" }[r.outcome] || "";
    return make("li", fresh ? { class: "fresh" } : null, clock(r.timestamp), make("span", { class: "tag " + tone }, r.outcome),
      make("span", { class: "what" }, r.message), make("span", { class: "kind" }, r.eventType + (r.resource ? " · " + r.resource : "")));
  }

  function emptyTrail(text) {
    $("trail-empty").hidden = $("trail").children.length > 0;
    say("trail-empty", text);
  }

  function put(records, fresh) {
    const list = $("trail");
    for (const r of records) {
      if (known.has(r.eventId)) continue;
      known.add(r.eventId);
      list.prepend(item(r, fresh));
    }
    while (list.children.length > RECORDS) list.lastElementChild.remove();
    if (known.size > 10 * RECORDS) known = new Set([...known].slice(-2 * RECORDS));
    emptyTrail("Nothing fits.");
  }

  function news(n) {
    unread += n;
    if (Date.now() - lastNews < NEWS_MS) return;
    lastNews = Date.now();
    say("news", plural(unread, "new event", "new events"));
    unread = 0;
  }

  function arrive(record) {
    refreshSoon();
    if (paused) {
      held.push(record);
      if (held.length > RECORDS) held.shift();
      say("pause", "Resume (" + held.length + ")");
      return;
    }
    put([record], true);
    news(1);
  }

  /* Begins anew: a page of what was, then the stream from where the page began. */
  async function begin() {
    const mine = visit, wanted = JSON.stringify(filters);
    if (stream) stream.abort();
    const mineStream = stream = new AbortController();
    let wait = 1000;
    position = "";
    known = new Set();
    held = [];
    $("trail").replaceChildren();
    emptyTrail("Loading…");
    while (mine === visit && mineStream === stream) {
      try {
        if (!position) {
          const page = await json("/api/audit" + query({ limit: "50" }));
          if (mine !== visit || mineStream !== stream) return;
          put(page.records.reverse(), false);
          position = page.position;
        }
        await follow(mineStream, () => { wait = 1000; });
      } catch (e) {
        if (mine !== visit || mineStream !== stream || over(e)) return;
        if (e.status === 400) position = "";
        emptyTrail("The trail cannot be read for the moment.");
      }
      if (mine !== visit || mineStream !== stream || wanted !== JSON.stringify(filters)) return;
      link("again", "Reconnecting…");
      await new Promise((done) => setTimeout(done, wait * (0.75 + Math.random() / 2)));
      wait = Math.min(wait * 2, 15000);
    }
  }

  async function follow(mine, good) {
    const answer = await get("/api/audit/stream" + query(), {
      signal: mine.signal, headers: { "Last-Event-ID": position, Accept: "text/event-stream" } });
    const reader = answer.body.getReader(), decoder = new TextDecoder();
    let rest = "", event = { data: [], name: "" }, watchdog = 0;
    const quiet = () => { clearTimeout(watchdog); watchdog = setTimeout(() => reader.cancel(), QUIET_MS); };
    link("live", "Live");
    quiet();
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        quiet();
        good();
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop();
        for (const line of lines) event = take(line, event);
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  function take(line, event) {
    if (line === "") {
      if (event.id) position = event.id;
      if (event.data.length) happened(event.name, JSON.parse(event.data.join("\n")));
      return { data: [], name: "" };
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon), value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") event.data.push(value);
    else if (field === "id") event.id = value;
    else if (field === "event") event.name = value;
    return event;
  }

  function happened(name, data) {
    if (!name) arrive(data);
    else if (name === "end" && ENDS[data.reason]) signOut(ENDS[data.reason]);
  }

  /* ---- hands ---- */

  $("sign-in").addEventListener("submit", (e) => {
    e.preventDefault();
    const given = $("token").value.trim();
    if (given && /^[!-~]+$/.test(given)) signIn(given);
    else say("door-error", "That is no token.");
  });
  $("sign-out").addEventListener("click", () => signOut(""));
  $("pause").addEventListener("click", () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    say("pause", paused ? "Resume" : "Pause");
    if (!paused) put(held.splice(0), true);
  });
  function filter() {
    const next = { outcome: $("outcome").value, user: $("user").value.trim() };
    if (JSON.stringify(next) === JSON.stringify(filters)) return;
    filters = next;
    begin();
  }
  let typing = 0;
  $("outcome").addEventListener("change", filter);
  $("user").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(filter, 400); });
  $("filters").addEventListener("submit", (e) => { e.preventDefault(); filter(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && token) refresh(); });
  $("token").focus();
})();
