/** Verdicts on their way: shown at once, sent in order, asked again until the server has them on its disk. */
import { computed, effect, signal, untracked } from '@preact/signals';
import { api, get, post, Trouble } from '../api.ts';
import { counted } from '../numbers.ts';
import { again, home, session } from '../session.tsx';
import { complain, say } from '../toasts.tsx';
import type { Clip, DecisionInfo, Event, VerdictRequest, VerdictsAnswer } from '../wire.ts';
import { held, refresh } from './clips.ts';
import { forget, keep, keptOf } from './kept.ts';
import { said } from './said.ts';

export type Action = VerdictRequest['action'];

interface Waiting {
  dataset: string;
  verdict: VerdictRequest;
}

const PAUSES = [0.25, 0.5, 1, 2, 4]; // seconds between tries; the last one again and again
const AT_ONCE = 100;

const queue = signal<readonly Waiting[]>([]);
const trouble = signal<string | null>(null);
let sending = false;

/** How many verdicts the server has not confirmed yet. */
export const unsent = computed(() => queue.value.length);
/** Why they wait, where something is wrong. */
export const waitingFor = computed(() => (queue.value.length ? trouble.value : null));

addEventListener('beforeunload', (event) => {
  if (queue.value.length) event.preventDefault();
});

/** Decide something about a clip as it is seen. */
export function decide(clip: Clip, action: Action, value: number | string | null = null): void {
  if (!clip.sha256) return say('This clip is only shown: no verdicts can be given on it.', true);
  enqueue(clip.dataset, { id: newId(), key: clip.key, sha256: clip.sha256, action, value });
}

/** Take back a verdict; without one, the last of this person's, and tell which. */
export async function undo(dataset: string, event: Event | null = null): Promise<Event | null> {
  await settled();
  const last = event ?? (await get<Event | null>(api(dataset, 'undoable')));
  if (!last) {
    say('There is nothing to undo.');
    return null;
  }
  const { key, sha256, id } = last;
  enqueue(dataset, { id: newId(), key, sha256, action: 'undo', undoes: id });
  await settled();
  await refresh(dataset, key);
  say(`Taken back: ${said(last)}.`);
  return last;
}

/** Once everything that waits now is confirmed. */
export async function settled(): Promise<void> {
  while (queue.value.length) await new Promise<void>((resolve) => waiters.push(resolve));
}

const waiters: (() => void)[] = [];

/** Once it is known who is here and what there is, verdicts that an earlier page could not send are sent. */
effect(() => {
  const who = session.value?.who;
  const datasets = home.value?.datasets ?? [];
  if (who) untracked(() => datasets.forEach(({ dataset, url }) => resume(dataset, url, who)));
});

function resume(dataset: string, url: string, who: string): void {
  const known = new Set(queue.value.map((waiting) => waiting.verdict.id));
  const kept = keptOf(url).filter(({ verdict }) => !known.has(verdict.id));
  const mine = kept.filter((one) => one.who === null || one.who === who);
  const others = kept.filter((one) => !mine.includes(one));
  if (others.length) {
    const names = [...new Set(others.map((one) => one.who))].join(' and ');
    say(`Unsent on this machine: ${counted(others.length, 'verdict')} by ${names}. Say that name above to send them.`, true);
  }
  if (!mine.length) return;
  say(`Sending ${counted(mine.length, 'verdict')} that an earlier page could not send.`);
  queue.value = [...queue.value, ...mine.map(({ verdict }) => ({ dataset, verdict }))];
  void send();
}

function enqueue(dataset: string, verdict: VerdictRequest): void {
  const url = home.value?.datasets.find((one) => one.dataset === dataset)?.url;
  if (url) keep(url, session.value?.who ?? null, verdict);
  queue.value = [...queue.value, { dataset, verdict }];
  void foretell(dataset, verdict);
  void send();
}

/** What the clip will be once the verdict holds, so that the page need not wait for the answer. */
async function foretell(dataset: string, { key, action, value }: VerdictRequest): Promise<void> {
  const clip = await held(dataset, key);
  if (!clip) return;
  const { decision, tracks } = clip.value;
  if (action === 'accept' || action === 'reject')
    clip.value = { ...clip.value, decision: { ...decision, state: action === 'accept' ? 'accepted' : 'rejected' } };
  else if (action === 'flag') clip.value = { ...clip.value, decision: { ...decision, flagged: true } };
  else if (action === 'rename_subject') clip.value = { ...clip.value, subject: String(value) };
  else if (action === 'edit_caption') clip.value = { ...clip.value, caption: String(value) };
  else if (action === 'drop_track')
    clip.value = { ...clip.value, tracks: tracks.map((t) => (t.id === value ? { ...t, dropped: true } : t)) };
}

async function send(): Promise<void> {
  if (sending) return;
  sending = true;
  for (let failures = 0, size = AT_ONCE; queue.value.length; ) {
    const dataset = queue.value[0]!.dataset;
    const end = queue.value.findIndex((waiting) => waiting.dataset !== dataset);
    const batch = queue.value.slice(0, Math.min(size, end < 0 ? queue.value.length : end));
    try {
      await confirm(dataset, batch);
      failures = 0;
      size = AT_ONCE;
      trouble.value = null;
    } catch (fault) {
      if (isRefusal(fault) && batch.length > 1) size = 1; // one bad verdict takes no others with it
      else if (isRefusal(fault)) refuse(batch, fault);
      else {
        trouble.value = fault instanceof Error ? fault.message : String(fault);
        await pause(PAUSES[Math.min(failures++, PAUSES.length - 1)]!);
        if (fault instanceof Trouble && fault.status === 401) await again().catch(() => undefined);
      }
    }
  }
  sending = false;
  for (const resolve of waiters.splice(0)) resolve();
}

async function confirm(dataset: string, batch: readonly Waiting[]): Promise<void> {
  const verdicts = batch.map((waiting) => waiting.verdict);
  const answer = await post<VerdictsAnswer>(api(dataset, 'verdicts'), { verdicts });
  drop(batch);
  for (const [key, decision] of Object.entries(answer.decisions)) await learn(dataset, key, decision, answer.events);
  const dropped = new Set(verdicts.filter((verdict) => verdict.action === 'drop_track').map((verdict) => verdict.key));
  for (const key of dropped) void refresh(dataset, key).catch(complain); // another track may be the subject's now
}

/** Lay what the server says holds over what the page has. */
async function learn(dataset: string, key: string, decision: DecisionInfo, events: readonly Event[]): Promise<void> {
  const clip = await held(dataset, key);
  if (!clip || queue.value.some((waiting) => waiting.verdict.key === key)) return; // more is to come
  const { tracks, history, stored_caption } = clip.value;
  const known = new Set(history.map((event) => event.id));
  clip.value = {
    ...clip.value,
    decision,
    subject: decision.subject ?? clip.value.subject,
    caption: decision.caption ?? stored_caption,
    tracks: tracks.map((track) => ({ ...track, dropped: decision.dropped_tracks.includes(track.id) })),
    history: [...history, ...events.filter((event) => event.key === key && !known.has(event.id))],
  };
}

/** The server will never take it: not writable, another content, no such clip. */
function isRefusal(fault: unknown): boolean {
  return fault instanceof Trouble && fault.status >= 400 && fault.status < 500 && ![401, 408, 429].includes(fault.status);
}

function refuse(batch: readonly Waiting[], fault: unknown): void {
  drop(batch);
  complain(fault);
  for (const { dataset, verdict } of batch) void refresh(dataset, verdict.key).catch(() => undefined);
}

function drop(batch: readonly Waiting[]): void {
  for (const { verdict } of batch) forget(verdict.id);
  queue.value = queue.value.filter((waiting) => !batch.includes(waiting));
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}

/** 16 hex digits; `crypto.getRandomValues` is there on plain host names too. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
