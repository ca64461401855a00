/* Compose: autosave, recipients' panel, files at once, Ctrl+Enter. The page works without it. */
"use strict";

(() => {
  const form = document.getElementById("compose");
  if (!form) return;
  const $ = (selector) => form.querySelector(selector);
  const saved = $("#saved");
  const PAUSE = 1500; /* ms after the last key */
  const LONGEST = 6000; /* ms between saves while somebody types on */
  let timer = 0, first = 0, running = null, dirty = false, stopped = false;
  document.documentElement.classList.add("with-script");

  const fields = () => {
    const data = new FormData(form);
    data.delete("files");
    return data;
  };
  const tell = (text, hold) => { saved.textContent = text; saved.classList.toggle("is-hold", Boolean(hold)); };

  const save = async () => {
    clearTimeout(timer);
    if (running) { await running; if (!dirty) return; }
    first = 0;
    dirty = false;
    running = send();
    await running;
    running = null;
  };
  const send = async () => {
    try {
      const response = await fetch(form.dataset.save, { method: "POST", body: fields(), credentials: "same-origin", headers: { Accept: "application/json" } });
      if (response.redirected || !(response.headers.get("Content-Type") || "").includes("json")) throw new Error("no answer");
      take(response.status, await response.json());
    } catch {
      dirty = true;
      tell(navigator.onLine ? form.dataset.failed : form.dataset.offline, true);
      timer = setTimeout(save, LONGEST);
    }
  };
  const take = (status, answer) => {
    if (answer.sent) { stopped = true; location.assign(answer.sent); return; }
    if (status === 409) stopped = true;
    if (answer.version) $("[name=version]").value = answer.version;
    if (answer.fate && !form.hasAttribute("data-closed")) {
      const slot = $("#fate");
      if (slot.innerHTML.trim() !== answer.fate.trim()) slot.innerHTML = answer.fate;
    }
    tell(answer.said, status >= 400);
  };
  const touched = () => {
    if (stopped) return;
    dirty = true;
    tell(form.dataset.typing);
    first = first || Date.now();
    clearTimeout(timer);
    timer = setTimeout(save, Math.max(0, Math.min(PAUSE, first + LONGEST - Date.now())));
  };

  form.addEventListener("input", (event) => {
    if (event.target.type === "file") return;
    touched();
  });
  form.addEventListener("change", (event) => {
    if (event.target.type === "file") { if (event.target.files.length) press("attach"); return; }
    if (["to", "cc", "bcc", "mailbox"].includes(event.target.name) && dirty && !stopped) save();
  });
  const press = async (act) => {
    if (running) await running;
    clearTimeout(timer);
    const button = [...form.elements].find((one) => one.name === "act" && one.value === act);
    if (button) form.requestSubmit(button);
  };
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); press("send"); }
  });
  let leaving = false;
  form.addEventListener("submit", (event) => {
    if (leaving) { event.preventDefault(); return; }
    if (running) { /* its answer brings the version that this post must carry */
      event.preventDefault();
      const button = event.submitter;
      running.then(() => { running = null; if (!leaving) form.requestSubmit(button); });
      return;
    }
    leaving = true;
    clearTimeout(timer);
    stopped = true;
  });
  addEventListener("pageshow", () => { leaving = false; });
  addEventListener("online", () => { if (dirty && !stopped) save(); });
  addEventListener("pagehide", () => {
    if (dirty && !stopped) fetch(form.dataset.save, { method: "POST", body: fields(), credentials: "same-origin", keepalive: true }).catch(() => {});
  });
})();
