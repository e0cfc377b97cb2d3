// The dashboard; users without the role see how to get it. The page itself is not tracked, so
// that looking at it does not change its numbers.

import { begin, renew, user } from "./account.js";
import { coefficients } from "./coefficients.js";
import { $, instant, say, sentence, show, t } from "./dom.js";
import { engagement } from "./engagement.js";
import { overview } from "./overview.js";
import { pill } from "./pill.js";
import { Refresher } from "./refresh.js";
import { users } from "./users.js";

const time = (at) =>
  instant(at, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }, "UTC");

function dashboard() {
  show($("#dashboard"));
  const refresher = new Refresher(({ asOf, error, late, paused }) => {
    if (error?.code === "admin_only") {
      refresher.stop();
      explain();
      return;
    }
    const at = asOf && time(asOf);
    if (at) say($("#as-of"), t(paused ? "admin.asOfPaused" : "admin.asOf", { time: at }));
    const why = error ? sentence(error) : t("all.error.timeout");
    const old = Boolean(error) || late;
    if (old) say($("#old"), at ? t("admin.old", { time: at, why }) : t("admin.never", { why }));
    show($("#old"), old);
  });
  $("#pause").addEventListener("click", () => {
    refresher.pause(!refresher.paused);
    say($("#pause"), t(refresher.paused ? "admin.goOn" : "admin.pause"));
  });
  $("#refresh").addEventListener("click", () => refresher.refresh());
  for (const part of [overview, engagement, users, coefficients]) part(refresher);
}

function explain() {
  const { email } = user();
  show($("#dashboard"), false);
  show($("#no-admin"));
  say($("#no-admin-who"), t("admin.signedInAs", { email }));
  say($("#command"), `focusup admin add ${email}`);
  $("#check").addEventListener("click", check);
}

async function check() {
  say($("#checked"), "");
  try {
    await renew();
    if (user()?.role === "admin") location.reload();
    else say($("#checked"), t("admin.notYet"));
  } catch (error) {
    say($("#checked"), sentence(error));
  }
}

const who = begin();
if (who?.role === "admin") dashboard();
else if (who) explain();
if (who) pill();
