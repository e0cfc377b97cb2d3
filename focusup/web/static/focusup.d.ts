// FocusUp in a browser, or wherever there is a WebSocket: what focusup.js exports.

/** An id of 24 hexadecimal digits. */
export type Id = string;
/** ISO 8601 in UTC with milliseconds and `Z`. */
export type Instant = string;
/** `2026-01-31`. */
export type LocalDate = string;

export type Status = "active" | "paused" | FinalStatus;
export type FinalStatus = "completed" | "abandoned" | "cancelled";
/** A silence of 15 s (the server's setting), 60 s, 180 s, or of so many seconds (5 to 600) makes idle. */
export type IdleMode = "interactive" | "reading" | "video" | number;

/** What a session is about; all of it may be left out. */
export interface NewSession {
  /** More than 0, at most 1,440; 25 by default. */
  targetMinutes?: number;
  contentId?: string | null;
  title?: string | null;
  /** At most 20 of at most 50 characters. */
  tags?: string[];
  /** At most 5,000 characters. */
  notes?: string | null;
  /** Kept for good, as is the time zone. */
  idleMode?: IdleMode;
  /** An IANA name; by default the one of the user's settings. */
  timeZone?: string | null;
}

/** What the focus score was computed from. */
export interface ScoreBreakdown {
  completion: number;
  activityRatio: number;
  penalty: number;
  formulaVersion: number;
}

/** Whole seconds, counted by the server; `elapsedSeconds` is active and idle together. */
export interface Counters {
  elapsedSeconds: number;
  activeSeconds: number;
  idleSeconds: number;
  tabSwitches: number;
}

/** A session as the server tells it. */
export interface Session extends Counters {
  _id: Id;
  userId: string;
  targetMinutes: number;
  contentId: string | null;
  title: string | null;
  tags: string[];
  notes: string | null;
  idleMode: IdleMode;
  timeZone: string;
  status: Status;
  pausedSeconds: number;
  /** Neither counted nor paused: disconnected, asleep, server down. */
  awaySeconds: number;
  /** Of the elapsed seconds, those entered by hand. */
  manualSeconds: number;
  tracked: boolean;
  /** Null until it has ended, as are the breakdown and `endedAt`. */
  focusScore: number | null;
  scoreBreakdown: ScoreBreakdown | null;
  startedAt: Instant | null;
  endedAt: Instant | null;
  lastActiveAt: Instant | null;
  createdAt: Instant;
  updatedAt: Instant;
  edited: boolean;
}

/** How far a goal is reached; `goal` and `reached` are null where none is set. */
export interface Progress {
  done: number;
  goal: number | null;
  reached: boolean | null;
}

export interface PeriodProgress {
  date: LocalDate;
  focusedSeconds: number;
  completedSessions: number;
  minutes: Progress;
}

/** All of a learner's sessions; rates and scores are null where there is nothing to tell. */
export interface UserStats {
  focusedSeconds: number;
  /** Of the focused seconds, those entered by hand. */
  manualSeconds: number;
  idleSeconds: number;
  elapsedSeconds: number;
  pausedSeconds: number;
  awaySeconds: number;
  endedSessions: number;
  completedSessions: number;
  completionRate: number | null;
  meanFocusScore: number | null;
  bestFocusScore: number | null;
  lastFocusScore: number | null;
  tabSwitches: number;
  tabSwitchesPerHour: number | null;
  sessions: Record<Status, number>;
  /** In days, as is the longest one. */
  currentStreak: number;
  longestStreak: number;
  timeZone: string;
  goals: {
    dailyMinutes: number | null;
    weeklyMinutes: number | null;
    sessionsPerDay: number | null;
  };
  today: PeriodProgress & { sessions: Progress };
  week: PeriodProgress;
}

// --- events of a session -----------------------------------------------------------------

/** The server counts from now on; told again after each connection that was made anew. */
export interface Started {
  type: "started";
  id: string;
  sessionId: Id;
  session: Session;
  /** Whether it had been tracked before. */
  resumed: boolean;
  idleThresholdSeconds: number;
  /** Null while it is paused. */
  nextSecondInMs: number | null;
  serverTime: Instant;
}

/** Each booked second (`tick`), or when idle turned to active or back (`state`). */
export interface Count<Type extends "tick" | "state"> extends Counters {
  type: Type;
  sessionId: Id;
  idle: boolean;
  /** The score so far. */
  focusScore: number;
}
export type Tick = Count<"tick">;
export type State = Count<"state">;

/** By this page (then with an `id`), by another one, or by REST. */
export interface Paused extends Counters {
  type: "paused";
  id?: string;
  sessionId: Id;
  serverTime: Instant;
}
export interface Resumed extends Counters {
  type: "resumed";
  id?: string;
  sessionId: Id;
  /** Null if it is paused again. */
  nextSecondInMs: number | null;
  serverTime: Instant;
}

/** The session has ended, whoever ended it. Told once. */
export interface Stopped {
  type: "stopped";
  id?: string;
  session: Session;
  focusScore: number | null;
  scoreBreakdown: ScoreBreakdown | null;
  /** Null if they were not read in time, or the end went over REST. */
  stats: UserStats | null;
}

/** Once, when elapsed time reaches the target. */
export interface TargetReached extends Counters {
  type: "targetReached";
  sessionId: Id;
}

/** Once for each goal and day, or week. */
export interface GoalReached {
  type: "goalReached";
  goal: "dailyMinutes" | "weeklyMinutes" | "sessionsPerDay";
  value: number;
  done: number;
  date: LocalDate;
}

/** It is tracked elsewhere now; this page rests until its user comes back. */
export interface Superseded {
  type: "superseded";
  sessionId: Id;
}

/** For two seconds the database could not be written, and it can again. Counting goes on. */
export interface Degraded {
  type: "degraded";
  serverTime: Instant;
}
export interface Recovered {
  type: "recovered";
  serverTime: Instant;
}

/**
 * What became of the connection. `waiting`: it is made again by itself. `resting`: when the
 * user comes back. `closed`: it is not wanted any more, or the server refused it for good.
 */
export interface Connection {
  state: "connecting" | "open" | "waiting" | "resting" | "closed";
  /** The close code that led to it, if one did. */
  code?: number;
}

export interface SessionEvents {
  started: Started;
  tick: Tick;
  state: State;
  paused: Paused;
  resumed: Resumed;
  stopped: Stopped;
  targetReached: TargetReached;
  goalReached: GoalReached;
  superseded: Superseded;
  degraded: Degraded;
  recovered: Recovered;
  error: FocusUpError;
  connection: Connection;
}

export interface SessionOptions {
  /** `tick` (default): a message each second; `change`: a `state` when it changes; `none`. */
  updates?: "tick" | "change" | "none";
  /** Whether signs and tab switches are taken from the page (default), or only from `activity` and `tabSwitch`. */
  listen?: boolean;
}

/** A focus session that this page tracks. */
export class FocusSession {
  constructor(focusup: FocusUp, session: Id | Session, options?: SessionOptions);
  /** As `createSession` of `connect`. Rejects with a FocusUpError. */
  static create(
    focusup: FocusUp,
    fields?: NewSession,
    options?: SessionOptions,
  ): Promise<FocusSession>;
  readonly id: Id;
  /** As the server told it last, at its creation, start or end; null before. */
  readonly session: Session | null;
  /** Calls `listener` for each event of this type; the function that is returned ends that. */
  on<Type extends keyof SessionEvents>(
    type: Type,
    listener: (event: SessionEvents[Type]) => void,
  ): () => void;
  /**
   * Track it from now on. Resolves once the server counts, however long that takes; rejects
   * with `refused` (its `status` is the close code), `session_ended`, `session_not_found`, or
   * `closed` if it was let go before.
   */
  start(): Promise<Session>;
  /**
   * Resolves once it is stored. Without a connection it is done when there is one: rejects
   * with `replaced` if `resume` came after it, `closed`, `not_started`, `session_ended`.
   */
  pause(): Promise<Paused>;
  resume(): Promise<Resumed>;
  /**
   * End and score it, over REST if the connection is lost, tried for a minute or two. Rejects
   * with `session_ended` if it had ended otherwise; `retryable` if it may be called again.
   */
  stop(status?: FinalStatus): Promise<Session>;
  /** The user is there: for signs that the page itself can't see. */
  activity(): void;
  /** The user went elsewhere: for switches that the page itself can't see. */
  tabSwitch(): void;
  /** Track it no more, and leave it as it is: another `start`, anywhere, goes on with it. */
  release(): void;
}

// --- pages ---------------------------------------------------------------------------------

/** A view has begun. */
export interface Viewing {
  type: "viewing";
  id: string;
  viewId: Id;
  visitorId: string;
  /** The visitor's key, which the library keeps; null where a cookie does. */
  visitor: string | null;
  browserSessionId: Id;
  page: string;
  attentionCoefficient: number;
  idleThresholdSeconds: number;
  nextSecondInMs: number | null;
  serverTime: Instant;
}

export interface PageTick {
  type: "tick";
  viewId: Id;
  visibleSeconds: number;
  engagedSeconds: number;
  engaged: boolean;
}

export interface PageEvents {
  viewing: Viewing;
  tick: PageTick;
  error: FocusUpError;
  connection: Connection;
}

export interface PageOptions {
  /** `tick`: a message each second; `none` by default. */
  updates?: "tick" | "none";
  /** The page at an address, or null for none; by default its path. */
  name?: (location: Location) => string | null;
}

/** Tells what is viewed, page by page; addresses that change without loading are followed. */
export interface PageTracker {
  /** Of the present view, once the server has told it. */
  readonly viewId: Id | null;
  on<Type extends keyof PageEvents>(
    type: Type,
    listener: (event: PageEvents[Type]) => void,
  ): () => void;
  /** A page, or a tab inside one, is viewed from now on. `title` is the document's by default. */
  view(page: string, params?: Record<string, string | number | boolean>, title?: string): void;
  /** What is viewed from now on is viewed by another visitor; `FocusUp.forgetVisitor` calls it. */
  forgetVisitor(): void;
  /** Nothing is viewed any more, for good. */
  stop(): void;
}

// --- the whole -----------------------------------------------------------------------------

/** Why something could not be done. */
export class FocusUpError extends Error {
  constructor(
    message: string,
    details?: Partial<Omit<FocusUpError, keyof Error>> & { cause?: unknown },
  );
  readonly name: "FocusUpError";
  /**
   * The server's stable code, or `offline`, `timeout`, `refused`, `closed`, `not_started`,
   * `replaced`, `token_unavailable`, `bad_answer`, `unknown`.
   */
  readonly code: string;
  /** The HTTP status, or the close code of a refused connection; 0 for neither. */
  readonly status: number;
  /** Whether the same may go well later. */
  readonly retryable: boolean;
  /** Seconds to wait before that, if the server told. */
  readonly retryAfter: number | null;
  /** The fields that were refused. */
  readonly errors: { field: string; message: string }[];
}

/** What the library takes from its surroundings. */
export interface Surroundings {
  /** Such as the one of the npm package `ws`, where there is none. */
  WebSocket: new (address: string, protocols: string[]) => object;
  fetch: typeof fetch;
  page: Document | undefined;
  window: Window | undefined;
  storage: () => Storage;
  /** Milliseconds, as of `Date.now`. */
  now: () => number;
  /** From 0 to 1. */
  random: () => number;
  setTimeout: (act: () => void, ms: number) => unknown;
  clearTimeout: (timer: unknown) => void;
  /** Told of errors in listeners, and of what nobody waits for. */
  report: (error: unknown) => void;
  visible: () => boolean;
}

export interface ConnectOptions {
  /** The server; by default where this module came from. */
  url?: string;
  /**
   * The user's token, or what gives it: asked each time one is needed, with `fresh` if the
   * last one was refused or is about to expire. Null for nobody.
   */
  token?:
    | string
    | ((how: { fresh: boolean }) => string | null | undefined | Promise<string | null | undefined>);
  env?: Partial<Surroundings>;
}

export interface RequestOptions {
  /** Do without a token if there is none. */
  optional?: boolean;
  /** Send none. */
  anonymous?: boolean;
  /** Let it arrive although the page is left; 64 KB of all such bodies together. */
  keepalive?: boolean;
}

export interface FocusUp {
  /** Create a session; tracking begins with its `start`. Rejects with a FocusUpError. */
  createSession(fields?: NewSession, options?: SessionOptions): Promise<FocusSession>;
  /** One that is there already. */
  session(session: Id | Session, options?: SessionOptions): FocusSession;
  /** Tell what is viewed from now on. */
  trackPages(options?: PageOptions): PageTracker;
  /** For signing out: who uses the browser next is another visitor. Signing out by `request` does it by itself. */
  forgetVisitor(): void;
  /** Keep a visit active until the function that is returned is called. */
  trackVisit(id?: string): () => void;
  /** Say that the user is there until the function that is returned is called. */
  heartbeat(): () => void;
  /** Book an event. `actionName` is at most 128 characters. Rejects with a FocusUpError. */
  trackEvent(type: "login" | "signup" | "app_open" | "action", actionName?: string): Promise<null>;
  /** A call of the REST interface; null for an answer without a body. Rejects with a FocusUpError. */
  request<Answer = unknown>(
    method: string,
    path: string,
    body?: unknown,
    options?: RequestOptions,
  ): Promise<Answer>;
  /** The token to use now, or another than the `refused` one. Rejects with a FocusUpError. */
  token(refused?: string | null): Promise<string | null>;
  /** The address of a socket. */
  socketAddress(path: string, query?: Record<string, string>): string;
}

export function connect(options?: ConnectOptions): FocusUp;

/** What the library does after each close code; after any other one it is `again`. */
export const AFTER_CLOSE: Readonly<
  Record<number, "rest" | "token" | "return" | "later" | "spread" | "again">
>;
