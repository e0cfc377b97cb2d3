// Exporting all data, and deleting the account.
//
// Invariant: an incomplete download is never saved as a complete one. An export may be large: it
// is streamed to a file where the browser supports that, otherwise collected in a Blob, which
// browsers keep on disk.

import { SERVER, focusup, forget } from "./account.js";
import { $, $$, el, number, say, sentence, show, t } from "./dom.js";
import { FocusUpError } from "./focusup.js";
import { ask } from "./forms.js";

const TYPES = { json: "application/json", csv: "text/csv" };
const MEGABYTE = 1_000_000;
const LATER_MS = 60_000; // by then the browser has begun to read what it was given
let running = null;

export function data() {
  for (const button of $$("[data-export]")) {
    button.addEventListener("click", () => take(button.dataset.export));
  }
  $("#export-stop").addEventListener("click", () => running?.abort());
  $("#leave").addEventListener("click", leave);
}

async function take(format) {
  running = new AbortController();
  const { signal } = running;
  busy(true);
  say($("#export-wrong"), "");
  say($("#export-got"), "");
  try {
    await download(format, signal);
    say($("#export-got"), t("progress.exported"));
  } catch (error) {
    say($("#export-got"), "");
    if (error.name !== "AbortError")
      say(
        $("#export-wrong"),
        error instanceof FocusUpError ? sentence(error) : t("progress.exportBroken"),
      );
  } finally {
    busy(false);
  }
}

function busy(is) {
  for (const button of $$("[data-export]")) button.disabled = is;
  show($("#export-stop"), is);
}

// Ask for the file first: browsers allow the picker only right after a click.
async function download(format, signal) {
  const suggestedName = `focusup-${new Date().toISOString().slice(0, 10)}.${format}`;
  const accept = { [TYPES[format]]: [`.${format}`] };
  const file = await globalThis.showSaveFilePicker?.({ suggestedName, types: [{ accept }] });
  const response = await answer(`/api/me/export?format=${format}`, signal);
  const content = response.body.pipeThrough(counted());
  if (file) {
    await content.pipeTo(await file.createWritable(), { signal });
  } else {
    const blob = await new Response(content, { headers: { "Content-Type": TYPES[format] } }).blob();
    const href = URL.createObjectURL(blob);
    el("a", { href, download: suggestedName }).click();
    setTimeout(() => URL.revokeObjectURL(href), LATER_MS);
  }
}

// A GET with a streamed response, repeated with a new token if the first is refused.
async function answer(path, signal) {
  const get = (token) =>
    fetch(new URL(path, SERVER), { headers: { Authorization: `Bearer ${token}` }, signal });
  const token = await focusup.token();
  let response = await get(token);
  if (response.status === 401) response = await get(await focusup.token(token));
  if (response.ok) return response;
  const { detail, code, errors } = await response.json();
  throw new FocusUpError(detail, { code, errors, status: response.status });
}

function counted() {
  let bytes = 0;
  return new TransformStream({
    transform(chunk, controller) {
      bytes += chunk.byteLength;
      say($("#export-got"), t("progress.exporting", { size: number(bytes / MEGABYTE, 1) }));
      controller.enqueue(chunk);
    },
  });
}

async function leave() {
  const password = $("#password");
  password.value = "";
  const left = await ask($("#leaving"), async () => {
    try {
      await focusup.request("DELETE", "/api/me", { password: password.value });
    } catch (error) {
      if (error.code !== "leaving") throw error; // it goes on by itself
    }
    return true;
  });
  if (left) forget();
}
