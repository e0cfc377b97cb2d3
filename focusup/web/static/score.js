// Explains a focus score: the parts of its formula, and the one that changed it. The score itself
// comes from the server. Pure.

const TAB_SWITCH = 2;
const IDLE_SECONDS = 30;

// `completion` and `activityRatio` are ratios, `penalty` points (docs/accuracy.md).
export function partsOf(
  { elapsedSeconds, activeSeconds, idleSeconds, tabSwitches },
  targetMinutes,
) {
  return {
    completion: elapsedSeconds / (targetMinutes * 60),
    activityRatio: activeSeconds / (elapsedSeconds || 1),
    penalty: tabSwitches * TAB_SWITCH + idleSeconds / IDLE_SECONDS,
  };
}

// The part that changed the score most between two ticks: `{by, reason}` with the points and
// "time", "tabSwitch", "idle" or "active"; null if the score is unchanged.
export function moved(before, after, targetMinutes) {
  const by = after.focusScore - before.focusScore;
  if (by === 0) return null;
  const [was, is] = [partsOf(before, targetMinutes), partsOf(after, targetMinutes)];
  const shares = {
    time: 100 * (is.completion - was.completion) * is.activityRatio,
    [after.idleSeconds > before.idleSeconds ? "idle" : "active"]:
      100 * was.completion * (is.activityRatio - was.activityRatio) -
      (after.idleSeconds - before.idleSeconds) / IDLE_SECONDS,
    tabSwitch: -TAB_SWITCH * (after.tabSwitches - before.tabSwitches),
  };
  const [reason] = Object.entries(shares).sort(([, a], [, b]) => (b - a) * Math.sign(by))[0];
  return { by, reason };
}
