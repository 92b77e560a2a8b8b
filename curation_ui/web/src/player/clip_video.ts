/** One `<video>` element with the table of its clip's frame times: which frame it shows, and seeking to a frame. */
import { FrameTimes } from './times.ts';

export interface Playable {
  /** Names the clip among all that are open. */
  id: string;
  videoUrl: string;
  masksUrl: string | null;
  pts: readonly number[];
  timeBase: readonly [numerator: number, denominator: number];
  width: number;
  height: number;
}

const OVERDUE = 250; // milliseconds after a seek in which its frame's callback comes, if it comes

/** Called with the number of the frame that has just come on show. */
type OnFrame = (number: number) => void;

export class ClipVideo {
  readonly element = document.createElement('video');
  clip: Playable | null = null;
  /** Frame on show, `null` until the first is there. */
  frame: number | null = null;
  fault: string | null = null;
  onFrame: OnFrame = () => undefined;
  onFault: (fault: string) => void = () => undefined;

  private times = new FrameTimes([0], [1, 1]);
  private origin = 0; // media time of the first frame, seconds: not 0 where a file starts late
  private callback = 0;
  private overdue = 0;
  private wanted: number | null = null; // frame that is being sought
  private next: number | null = null; // and the one to be sought after it

  constructor() {
    const { element } = this;
    element.muted = true;
    element.playsInline = true;
    element.preload = 'auto';
    element.tabIndex = -1;
    element.setAttribute('aria-hidden', 'true');
    element.addEventListener('seeked', () => {
      clearTimeout(this.overdue);
      const { wanted } = this;
      // A busy browser may swallow the callback of the frame that was sought, but not its picture.
      if (wanted !== null) this.overdue = window.setTimeout(() => this.wanted === wanted && this.arrive(wanted), OVERDUE);
    });
    element.addEventListener('error', () => this.fail(element.error?.message || 'the video cannot be played'));
  }

  /** Whether the picture of frame `frame` is what `element` holds right now. */
  get settled(): boolean {
    return this.frame !== null && this.wanted === null && this.element.paused;
  }

  load(clip: Playable): void {
    this.element.pause();
    this.element.cancelVideoFrameCallback(this.callback);
    this.clip = clip;
    this.times = new FrameTimes(clip.pts, clip.timeBase);
    this.frame = this.wanted = this.next = this.fault = null;
    this.element.src = clip.videoUrl;
    this.callback = this.element.requestVideoFrameCallback((_, shown) => {
      this.origin = shown.mediaTime; // nothing was sought or played yet: this is the first frame
      this.present(shown);
    });
  }

  /** Bring a frame on show; while one is being sought only the latest wish is kept. */
  seek(number: number): void {
    this.element.pause();
    const target = Math.max(0, Math.min(this.times.count - 1, number));
    if (this.frame === null || this.wanted !== null) {
      this.next = target;
      return;
    }
    if (this.frame === target && !this.moved) return;
    this.wanted = target;
    this.element.loop = false; // or a seek to the very end would lead to the beginning
    this.element.currentTime = this.origin + this.times.inside(target, this.element.duration - this.origin);
  }

  step(by: number): void {
    this.seek((this.next ?? this.wanted ?? this.frame ?? 0) + by);
  }

  async play(): Promise<void> {
    this.next = null;
    this.element.loop = true;
    await this.element.play().catch(() => undefined); // another clip or a pause came first
  }

  get count(): number {
    return this.times.count;
  }

  /** When a frame is shown, seconds from the first. */
  second(number: number): number {
    return this.times.seconds[number] ?? 0;
  }

  /** Paused somewhere else than where the last callback saw it. */
  private get moved(): boolean {
    return this.times.nearest(this.element.currentTime - this.origin) !== this.frame && !this.element.paused;
  }

  private present(shown: VideoFrameCallbackMetadata): void {
    // Asked for again before anything is painted: a frame that comes meanwhile would call nobody.
    this.callback = this.element.requestVideoFrameCallback((_, later) => this.present(later));
    this.arrive(this.times.nearest(shown.mediaTime - this.origin));
  }

  private arrive(number: number): void {
    clearTimeout(this.overdue);
    this.frame = number;
    this.wanted = null;
    this.onFrame(number);
    if (this.next !== null) {
      const target = this.next;
      this.next = null;
      this.seek(target);
    }
  }

  private fail(fault: string): void {
    this.fault = fault;
    this.onFault(fault);
  }
}
