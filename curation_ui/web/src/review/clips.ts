/** Clips by key, each a signal that verdicts change; the last few are kept. */
import { type Signal, signal } from '@preact/signals';
import { api, get } from '../api.ts';
import type { Playable } from '../player/player.ts';
import type { Clip, Filter } from '../wire.ts';

export type Kind = NonNullable<Filter['kind']>;

const KEPT = 24;
const clips = new Map<string, Promise<Signal<Clip>>>();

export function clipAt(dataset: string, key: string, kind: Kind = 'samples'): Promise<Signal<Clip>> {
  const name = `${dataset}/${kind}/${key}`;
  const known = clips.get(name) ?? fetchClip(dataset, key, kind);
  clips.delete(name);
  clips.set(name, known); // the latest used stands last
  known.catch(() => clips.delete(name));
  if (clips.size > KEPT) clips.delete(clips.keys().next().value!);
  return known;
}

/** Ask again for a clip that is held, because more than the page can tell of has changed. */
export async function refresh(dataset: string, key: string): Promise<void> {
  const held = clips.get(`${dataset}/samples/${key}`);
  if (held) (await held).value = await get<Clip>(api(dataset, `clips/${key}`));
}

export async function held(dataset: string, key: string): Promise<Signal<Clip> | null> {
  return (await clips.get(`${dataset}/samples/${key}`)?.catch(() => null)) ?? null;
}

/** What the player needs; `null` where the clip has no video. */
export function playable(clip: Clip): Playable | null {
  if (!clip.mp4) return null;
  return {
    id: `${clip.dataset}/${clip.key}/${clip.sha256 ?? ''}`,
    videoUrl: clip.mp4,
    masksUrl: clip.masks,
    pts: clip.pts,
    timeBase: clip.time_base,
    width: clip.width,
    height: clip.height,
  };
}

async function fetchClip(dataset: string, key: string, kind: Kind): Promise<Signal<Clip>> {
  return signal(await get<Clip>(api(dataset, `clips/${key}${kind === 'stopped' ? '?kind=stopped' : ''}`)));
}
