/* einbox: keys, live list, frame height. No eval, nothing remote; every page works without it. */
"use strict";

(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const keysOn = () => localStorage.getItem("einbox-keys") !== "off";

  /* --- keys: never in fields, never with a modifier, can be switched off ------------------------------- */
  /* a dialog just closed keeps the focus until the next frame: its fields count no more */
  const inField = (target) => !target.closest("dialog:not([open])")
    && target.closest("input, textarea, select, [contenteditable], dialog[open]");
  const rows = () => all(".row__link");
  const step = (by) => {
    const list = rows();
    const at = list.indexOf(document.activeElement);
    const from = at >= 0 ? at : list.findIndex((link) => link.getAttribute("aria-current"));
    const next = list[Math.min(list.length - 1, Math.max(0, from + by))];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  };
  const press = (key) => {
    const target = $(`[data-key="${key}"]`);
    if (target && target.matches("input")) { target.focus(); target.select(); } else if (target) target.click();
    return Boolean(target);
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || inField(event.target) || !keysOn()) return;
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "?") { const sheet = $("#keys"); if (sheet) sheet.showModal(); }
    else if (!/^[rafce#u/]$/.test(event.key) || !press(event.key)) return;
    event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    if (event.target.id === "keys-on") localStorage.setItem("einbox-keys", event.target.checked ? "on" : "off");
  });

  /* --- open menus close on Escape and on a click elsewhere --------------------------------------------- */
  document.addEventListener("click", (event) => {
    for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of all("details.menu[open]")) { menu.open = false; $("summary", menu).focus(); }
  });

  /* --- "Updated 4 s ago", offline, and buttons that only work with a script ----------------------------- */
  let heard = Date.now();
  const tick = () => {
    const label = $("#updated");
    if (!label) return;
    const seconds = Math.round((Date.now() - heard) / 1000);
    const lost = !navigator.onLine || seconds > 15;
    const at = new Date(heard).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    label.textContent = lost ? label.dataset.lost.replace("%s", at) : label.dataset.ago.replace("%s", seconds);
    label.classList.toggle("is-hold", lost);
  };
  setInterval(tick, 1000);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (!button) return;
    if (button.dataset.act === "print") window.print();
    if (button.dataset.act === "show-new") showNew();
  });

  /* --- the live list: rows that leave, rows that wait ---------------------------------------------------- */
  let focused = null; /* ids from the focused row on, so that focus can move to the next row */
  const names = (root) => new Set(all("[data-line]", root).map((row) => row.dataset.line));
  const waiting = new Set();
  const scroller = () => { const list = $(".list"); return list && list.scrollHeight > list.clientHeight ? list : document.scrollingElement; };
  const showNew = () => {
    waiting.clear();
    for (const row of all("[data-line][hidden]")) row.hidden = false;
    const pill = $("#pill");
    if (pill) pill.hidden = true;
    scroller().scrollTo({ top: 0 });
  };
  const hold = () => {
    let count = 0;
    for (const row of all("[data-line]")) if (waiting.has(row.dataset.line)) { row.hidden = true; count += 1; }
    const pill = $("#pill");
    if (!pill) return;
    pill.hidden = count === 0;
    if (count) pill.textContent = pill.dataset.new.replace("%s", count);
  };
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id === "live" && (document.hidden || !event.target.offsetParent)) event.preventDefault();
  });
  document.addEventListener("htmx:beforeOnLoad", () => { heard = Date.now(); tick(); });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target.id !== "live" || !event.detail.shouldSwap) return;
    const links = rows();
    const at = links.indexOf(document.activeElement);
    focused = at < 0 ? null : [...links.slice(at), ...links.slice(0, at).reverse()].map((link) => link.id);
    const known = names(document);
    if (scroller().scrollTop > 40) {
      const fresh = new DOMParser().parseFromString(event.detail.serverResponse, "text/html");
      for (const name of names(fresh)) if (!known.has(name)) waiting.add(name);
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id !== "live" && !$("#live")) return;
    hold();
    const reader = $("#reader");
    for (const link of rows()) {
      if (reader && link.dataset.message === reader.dataset.message) link.setAttribute("aria-current", "true");
    }
    if (focused && document.activeElement === document.body) {
      const next = focused.map((id) => document.getElementById(id)).find(Boolean);
      if (next) next.focus({ preventScroll: true });
    }
    focused = null;
  });
  addEventListener("scroll", () => { if (waiting.size && scroller().scrollTop < 8) showNew(); }, true);

  /* --- the body frame cannot be measured (it has no origin): the server says about how many lines it has --- */
  const fit = () => {
    for (const frame of all("iframe[data-wide]")) {
      const narrow = frame.clientWidth < 560;
      frame.height = Math.min(20000, Number(narrow ? frame.dataset.narrow : frame.dataset.wide));
    }
  };
  addEventListener("resize", fit);
  document.addEventListener("DOMContentLoaded", () => {
    fit();
    tick();
    const here = $(".list [aria-current]"); /* the open message may lie further down in the list beside it */
    if (here) here.scrollIntoView({ block: "nearest" });
    const box = $("#keys-on");
    if (box) box.checked = keysOn();
  });
})();
