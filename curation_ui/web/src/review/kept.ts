/** Verdicts that the server has not confirmed, kept by the browser until it has: a page that is closed loses none.
 *
 *  Each has a place of its own, so that several tabs keep theirs beside one another. The server takes an id once, however
 *  many tabs send it.
 */
import type { VerdictRequest } from '../wire.ts';

export interface Kept {
  dataset: string; // its URL: short names are given anew by every server
  who: string | null; // who gave it; null: nobody had said a name yet
  order: number; // rises with every verdict of this browser
  verdict: VerdictRequest;
}

const PLACE = 'dreamreel.unsent.';
let latest = 0;

export function keep(dataset: string, who: string | null, verdict: VerdictRequest): void {
  latest = Math.max(Date.now(), latest + 1);
  const kept: Kept = { dataset, who, order: latest, verdict };
  try {
    localStorage.setItem(PLACE + verdict.id, JSON.stringify(kept));
  } catch {
    // A browser that keeps nothing asks before the page is closed.
  }
}

export function forget(id: string): void {
  localStorage.removeItem(PLACE + id);
}

/** What is kept of a dataset, in the order in which it was given. */
export function keptOf(dataset: string): Kept[] {
  const names = Object.keys(localStorage).filter((name) => name.startsWith(PLACE));
  const every = names.flatMap((name) => read(localStorage.getItem(name)) ?? []);
  return every.filter((kept) => kept.dataset === dataset).sort((a, b) => a.order - b.order);
}

function read(text: string | null): Kept | null {
  try {
    return JSON.parse(text ?? '') as Kept;
  } catch {
    return null; // removed meanwhile by another tab
  }
}
