/** The clip on show, a few more made ready behind it, and the one canvas that shows picture and masks together. */
import { signal } from '@preact/signals';
import { ClipVideo, type Playable, type Shown } from './clip_video.ts';
import { type Layer, type Look, paint } from './paint.ts';
import { Still } from './still.ts';

export type { Playable } from './clip_video.ts';

const VIDEOS = 4; // the one on show, two behind it, the one before it
const LONGEST_SIDE = 1280; // canvas pixels

/** Whole canvas pixels for each of the video's, so that masks have sharp edges on any screen. */
export function scaleOf({ width, height }: { width: number; height: number }): number {
  return Math.max(1, Math.floor(LONGEST_SIDE / Math.max(width, height)));
}

export class Player {
  readonly frame = signal(0);
  readonly playing = signal(false);
  readonly fault = signal<string | null>(null);
  /** Whether the first picture of the clip is there. */
  readonly shown = signal(false);

  private readonly videos = Array.from({ length: VIDEOS }, () => new ClipVideo());
  private current: ClipVideo | null = null;
  private canvas: CanvasRenderingContext2D | null = null;
  private scale = 1;
  private layers: readonly Layer[] = [];
  private look: Look = { fill: true, outline: true, boxes: false };
  private rate = 1;
  private readonly still = new Still();
  private taken = Promise.resolve();
  private wishes = 0; // pictures asked for so far
  private readonly mirrors = new Set<{ context: CanvasRenderingContext2D; layers: readonly Layer[] }>();

  constructor() {
    for (const video of this.videos) {
      video.onFrame = (shown) => video === this.current && this.present(shown);
      video.onFault = (fault) => video === this.current && (this.fault.value = fault);
      for (const event of ['play', 'pause'])
        video.element.addEventListener(event, () => video === this.current && (this.playing.value = video.playing));
    }
  }

  /** Paint on `canvas` from now on; the videos need a place in the document to be decoded in time. */
  attach(canvas: HTMLCanvasElement, shelf: HTMLElement): void {
    this.canvas = canvas.getContext('2d', { alpha: false });
    shelf.replaceChildren(...this.videos.map((video) => video.element));
    if (!this.current?.clip) return;
    this.fit(this.current.clip);
    if (this.current.settled) this.repaint();
  }

  /** Show a clip; where it was made ready, its first picture is painted with the layers that are set next. */
  show(clip: Playable, from = 0): void {
    this.current?.pause();
    const video = this.take(clip);
    this.current = video;
    this.layers = [];
    this.playing.value = false;
    this.fault.value = video.fault;
    this.shown.value = video.frame !== null;
    this.fit(clip);
    if (from !== (video.frame ?? 0)) video.seek(from);
  }

  /** Show nothing. */
  clear(): void {
    this.current?.pause();
    this.current = null;
    this.layers = [];
    this.shown.value = this.playing.value = false;
    this.fault.value = null;
  }

  /** Make clips ready, the likeliest first. */
  prepare(clips: readonly Playable[]): void {
    const wanted = clips.slice(0, VIDEOS - 1);
    const ids = new Set([this.current?.clip?.id, ...wanted.map((clip) => clip.id)]);
    for (const clip of wanted) {
      if (this.videos.some((video) => video.clip?.id === clip.id)) continue;
      const idle = this.videos.find((video) => !video.clip || !ids.has(video.clip.id));
      idle?.load(clip);
    }
  }

  setLayers(layers: readonly Layer[], look: Look): void {
    this.layers = layers;
    this.look = look;
    if (this.current?.settled) this.repaint(); // else the next picture brings them
  }

  /** Paint every picture on a further canvas too, with layers of its own; call what is returned to end that. */
  mirror(canvas: HTMLCanvasElement, layers: readonly Layer[]): () => void {
    const context = canvas.getContext('2d', { alpha: false })!;
    const mirror = { context, layers };
    this.mirrors.add(mirror);
    if (this.current?.settled) this.repaint();
    return () => void this.mirrors.delete(mirror);
  }

  toggle(): void {
    if (this.playing.value) this.pause();
    else this.play();
  }

  play(): void {
    this.current?.play(this.rate);
  }

  pause(): void {
    this.current?.pause();
  }

  seek(number: number): void {
    this.current?.seek(number);
  }

  step(by: number): void {
    this.current?.step(by);
  }

  setRate(rate: number): void {
    this.rate = rate;
    if (this.current?.playing) this.current.element.playbackRate = rate;
  }

  second(number: number): number {
    return this.current?.second(number) ?? 0;
  }

  /** The element that holds a clip, or the one least needed, told to load it. */
  private take(clip: Playable): ClipVideo {
    const ready = this.videos.find((video) => video.clip?.id === clip.id && !video.fault);
    if (ready) return ready;
    const free = this.videos.find((video) => !video.clip) ?? this.videos.find((video) => video !== this.current)!;
    free.load(clip);
    return free;
  }

  private fit(clip: Playable): void {
    if (!this.canvas) return;
    this.scale = scaleOf(clip);
    const { canvas } = this.canvas;
    const [width, height] = [clip.width * this.scale, clip.height * this.scale];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
  }

  private repaint(): void {
    const { current } = this;
    if (current && current.frame !== null) current.look(current.frame, (shown) => this.present(shown));
  }

  /** Paint a picture as it is now. Of those that come while one is taken only the latest is, on a slow machine. */
  private present({ picture, number }: Shown): void {
    const clip = this.current?.clip;
    const wish = ++this.wishes;
    if (!clip) return;
    if (picture instanceof HTMLVideoElement) return this.paint(picture, number, clip);
    const frame = picture.clone();
    const before = this.taken.catch(() => undefined); // what went wrong there was told
    this.taken = before.then(async () => {
      try {
        const still = wish === this.wishes ? await this.still.take(frame) : null;
        if (still && clip === this.current?.clip) this.paint(still, number, clip);
      } finally {
        frame.close();
      }
    });
  }

  private paint(picture: CanvasImageSource, number: number, clip: Playable): void {
    if (!this.canvas) return;
    paint(this.canvas, picture, this.layers, number, this.scale, this.look);
    for (const { context, layers } of this.mirrors)
      paint(context, picture, layers, number, context.canvas.width / clip.width, this.look);
    this.canvas.canvas.dataset['frame'] = String(number);
    this.canvas.canvas.dataset['clip'] = clip.id;
    this.frame.value = number;
    this.shown.value = true;
  }
}
