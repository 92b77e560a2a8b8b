/** The clip that is open: its player, its masks, which tracks are shown, and the way to the clips beside it. */
import { batch, computed, effect, type Signal, signal } from '@preact/signals';
import { MaskStore } from '../player/masks.ts';
import type { Layer } from '../player/paint.ts';
import { Player } from '../player/player.ts';
import { pack, type PackedMasks } from '../player/runs.ts';
import { clipAt, type Kind, playable } from '../review/clips.ts';
import { type Source, Walk, written } from '../review/walk.ts';
import { address, go, place } from '../routing.tsx';
import { complain, say } from '../toasts.tsx';
import type { Clip } from '../wire.ts';
import { showing, trackColour } from './settings.ts';

/** Where a subject is, pixels of the video. */
export type Aim = { point: [x: number, y: number] } | { box: [x0: number, y0: number, x1: number, y1: number] };

export interface Opened {
  dataset: string;
  named: boolean; // the dataset stands in addresses
  key: string;
  kind: Kind;
  source: Source;
  at: number;
  frame: number | null; // to begin with, paused
}

const BEHIND = 2; // clips made ready in the direction one walks, beside the one before

export class Desk {
  readonly player = new Player();
  readonly clip = signal<Signal<Clip> | null>(null);
  readonly masks = signal<readonly PackedMasks[]>([]);
  readonly hidden = signal<ReadonlySet<number>>(new Set()); // track ids
  readonly chosen = signal(0); // place of the track that keys act on
  readonly at = signal(-1); // place in the walk
  readonly total = signal(0);
  /** Who wants to know where in the picture one points; nobody as a rule. */
  readonly aim = signal<((aim: Aim) => void) | null>(null);

  private readonly store = new MaskStore();
  /** Masks that people had made anew, by track. */
  private readonly redrawn = computed(() => {
    const clip = this.clip.value?.value;
    const made = Object.entries(clip?.redrawn ?? {});
    return new Map(made.map(([id, counts]) => [Number(id), pack(Number(id), counts, clip!.height, clip!.width)]));
  });
  private opened: Opened | null = null;
  private walk: Walk | null = null;
  private latest = 0;
  private stood = -1; // place of the clip on show
  private moving = false; // another clip was asked for and is not on show yet

  constructor() {
    effect(() => this.player.setLayers(this.layers(), showing.value));
    effect(() => this.player.setRate(showing.value.rate));
  }

  /** Show what an address names; what is on show already stays. */
  async open(opened: Opened): Promise<void> {
    if (this.leads(opened)) return;
    const number = ++this.latest;
    this.moving = false;
    const before = this.opened;
    this.opened = opened;
    try {
      const clip = await clipAt(opened.dataset, opened.key, opened.kind);
      if (number !== this.latest) return;
      this.present(clip, opened.frame);
      const same = before?.dataset === opened.dataset && written(before.source) === written(opened.source);
      if (!same || !this.walk) await this.begin(opened);
      if (number === this.latest) await this.prepare();
    } catch (fault) {
      if (number === this.latest) complain(fault);
    }
  }

  /** The clip that a person sees right now, of which there may be nothing to see; `null` while the next is on its way. */
  seen(): Clip | null {
    const clip = this.clip.peek()?.peek() ?? null;
    const { shown, fault } = this.player;
    return !this.moving && (!clip?.mp4 || shown.peek() || fault.peek()) ? clip : null;
  }

  /** Whether an address is one that stepping wrote, or has left behind already: what is under way goes on. */
  private leads({ dataset, key, kind, source, frame }: Opened): boolean {
    if (!place.peek().path.endsWith(`/${key}`)) return true;
    const { opened } = this;
    if (!opened || !this.walk || frame !== null) return false;
    const same = opened.dataset === dataset && opened.key === key && opened.kind === kind;
    return same && written(opened.source) === written(source);
  }

  /** The clip `by` places on; says so at the end. */
  async step(by: 1 | -1): Promise<void> {
    const { walk, opened } = this;
    if (!walk || !opened) return;
    const at = this.at.value + by;
    if (at < 0 || at >= walk.total) return say(by > 0 ? 'That was the last clip.' : 'This is the first clip.');
    this.at.value = at; // at once: the next key counts from here
    this.moving = true;
    const number = ++this.latest;
    try {
      const key = await walk.key(at);
      const clip = key === null ? null : await clipAt(opened.dataset, key, opened.kind);
      if (!clip || number !== this.latest) return;
      this.opened = { ...opened, key: clip.value.key, at, frame: null };
      this.stood = at;
      this.moving = false;
      this.present(clip, null);
      go(this.address(), true);
      await this.prepare();
    } catch (fault) {
      complain(fault);
    } finally {
      if (number === this.latest) this.stay();
    }
  }

  /** Whoever asked for another clip has it, or gets none: count from the one on show. */
  private stay(): void {
    this.moving = false;
    this.at.value = this.stood;
  }

  /** The address of what is on show; with its frame where it is one to pass on. */
  address(frame: number | null = null): string {
    const { dataset, named, key, kind, source } = this.opened!;
    return address(`/clip/${key}`, {
      dataset: named ? dataset : null,
      kind: kind === 'stopped' ? kind : null,
      view: written(source),
      at: Math.max(0, this.at.value) || null,
      frame,
    });
  }

  /** Masks of a track as they hold now: those that people had made anew, or the shard's. */
  masksOf(track: number): PackedMasks | null {
    return this.redrawn.peek().get(track) ?? this.masks.peek().find((masks) => masks.id === track) ?? null;
  }

  fetchMasks(url: string): Promise<PackedMasks[]> {
    return this.store.get(url);
  }

  toggleTrack(id: number): void {
    const hidden = new Set(this.hidden.value);
    if (!hidden.delete(id)) hidden.add(id);
    this.hidden.value = hidden;
  }

  private present(clip: Signal<Clip>, frame: number | null): void {
    const video = playable(clip.value);
    const shown = this.clip.value?.value;
    if (shown?.key === clip.value.key && shown.dataset === clip.value.dataset && this.clip.value === clip) {
      if (frame !== null) this.player.seek(frame);
      return;
    }
    const ready = video?.masksUrl ? this.store.ready(video.masksUrl) : [];
    if (video) this.player.show(video, frame ?? 0);
    else this.player.clear();
    batch(() => {
      this.clip.value = clip;
      this.hidden.value = new Set();
      this.chosen.value = 0;
      this.masks.value = ready ?? [];
    });
    if (!ready)
      void this.store.get(video!.masksUrl!).then(
        (masks) => this.clip.value === clip && (this.masks.value = masks),
        (fault) => this.clip.value === clip && complain(fault),
      );
    if (video && showing.value.autoplay && frame === null) this.player.play();
  }

  private async begin({ dataset, source, key, at }: Opened): Promise<void> {
    const began = await Walk.open(dataset, source, key, at);
    this.walk = began.walk;
    batch(() => {
      this.at.value = this.stood = began.at;
      this.total.value = began.walk.total;
    });
  }

  /** Fetch the clips beside this one, and have their first pictures decoded. */
  private async prepare(): Promise<void> {
    const { walk, opened } = this;
    if (!walk || !opened || !showing.peek().ahead) return;
    const places = [...Array.from({ length: BEHIND }, (_, n) => this.at.value + n + 1), this.at.value - 1];
    const keys = await Promise.all(places.map((at) => walk.key(at)));
    const clips = await Promise.all(keys.filter((key) => key !== null).map((key) => clipAt(opened.dataset, key, opened.kind)));
    if (opened !== this.opened) return;
    const videos = clips.map((clip) => playable(clip.value)).filter((video) => video !== null);
    this.player.prepare(videos);
    for (const video of videos) if (video.masksUrl) void this.store.get(video.masksUrl).catch(() => undefined);
  }

  /** What is painted over the picture: the tracks that are not hidden, dropped ones left out. */
  private layers(): Layer[] {
    const clip = this.clip.value?.value;
    if (!clip) return [];
    const redrawn = this.redrawn.value;
    return clip.tracks.flatMap((track, place) =>
      track.dropped || this.hidden.value.has(track.id)
        ? []
        : {
            masks: redrawn.get(track.id) ?? this.masks.value.find((masks) => masks.id === track.id) ?? null,
            boxes: track.boxes,
            colour: trackColour(place),
            label: track.noun,
          },
    );
  }
}
