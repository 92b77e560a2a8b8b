/** One `<video>` element with the table of its clip's frame times: which frame it shows, and how to reach another.
 *
 *  A seek ends where the browser's demuxer lands. Where frames refer to later ones it takes the next key frame for the
 *  frames just before it, so those are approached: sought further before, and played up to.
 */
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

/** What stands in a video right now, and which frame that is. */
export interface Shown {
  picture: HTMLVideoElement | VideoFrame; // the element where the browser has no frames
  number: number;
}

/** A frame on its way. */
interface Search {
  target: number;
  back: number; // frames before the target that were sought
}

const OVERDUE = 250; // milliseconds after a seek in which its frame's callback comes, if it comes
const PAUSES = [300, 1000, 3000, 6000]; // milliseconds between tries to fetch a video
const FARTHEST = 6; // frames before the target to begin from; more than any encoder looks ahead by default
const APPROACH = 0.4; // of the clip's speed

export class ClipVideo {
  readonly element = document.createElement('video');
  clip: Playable | null = null;
  /** Frame on show, `null` until the first is there. */
  frame: number | null = null;
  fault: string | null = null;
  /** Called when another frame is on show; take its picture before this returns. */
  onFrame: (shown: Shown) => void = () => undefined;
  onFault: (fault: string | null) => void = () => undefined;

  private times = new FrameTimes([0], [1, 1]);
  private origin = 0; // media time of the first frame, seconds: not 0 where a file starts late
  private callback = 0;
  private overdue = 0;
  private again = 0;
  private failures = 0;
  private search: Search | null = null;
  private next: number | null = null; // frame to be sought after it
  private waiting: number | null = null; // rate at which to play once the first frame is there

  constructor() {
    const { element } = this;
    element.muted = true;
    element.playsInline = true;
    element.preload = 'auto';
    element.tabIndex = -1;
    element.setAttribute('aria-hidden', 'true');
    element.addEventListener('loadeddata', () => this.expect());
    element.addEventListener('seeked', () => this.expect());
    element.addEventListener('error', () => this.fail(element.error?.message || 'it cannot be fetched or decoded'));
  }

  /** Whether `element` holds the picture of frame `frame`, and will hold it until it is told otherwise. */
  get settled(): boolean {
    return this.frame !== null && !this.search && this.element.paused;
  }

  /** Plays because somebody wants to see it, not on the way to a frame. */
  get playing(): boolean {
    return !this.element.paused && !this.search;
  }

  load(clip: Playable): void {
    this.element.pause();
    this.element.cancelVideoFrameCallback(this.callback);
    clearTimeout(this.overdue);
    this.clip = clip;
    this.times = new FrameTimes(clip.pts, clip.timeBase);
    clearTimeout(this.again);
    this.failures = 0;
    this.fetch(clip);
  }

  private fetch(clip: Playable): void {
    this.frame = this.search = this.next = this.fault = this.waiting = null;
    this.element.src = clip.videoUrl;
    this.callback = this.element.requestVideoFrameCallback((_, first) => this.called(first));
  }

  /** The server may have been away for a moment: try some times more. */
  private fail(fault: string): void {
    const { clip } = this;
    this.fault = fault;
    this.onFault(fault);
    if (!clip || ++this.failures > PAUSES.length) return;
    this.again = window.setTimeout(() => {
      this.element.cancelVideoFrameCallback(this.callback);
      this.fetch(clip);
      this.onFault(null);
    }, PAUSES[this.failures - 1]);
  }

  /** Bring a frame on show; while one is being sought only the latest wish is kept. */
  seek(number: number): void {
    const target = Math.max(0, Math.min(this.times.count - 1, number));
    const settled = this.settled;
    this.waiting = null;
    if (!this.search) this.element.pause();
    if (this.frame === null || this.search) this.next = target;
    else if (!settled || this.frame !== target) this.begin({ target, back: 0 });
  }

  step(by: number): void {
    this.seek((this.next ?? this.search?.target ?? this.frame ?? 0) + by);
  }

  /** Play from where it is; a clip of which nothing is there yet plays once its first frame has told where it starts. */
  play(rate: number): void {
    this.next = null;
    this.waiting = this.frame === null ? rate : null;
    if (this.frame === null) return;
    clearTimeout(this.overdue);
    this.search = null;
    this.element.loop = true;
    this.element.playbackRate = rate;
    this.element.play().catch(() => undefined); // another clip or a pause came first
  }

  pause(): void {
    this.waiting = null;
    this.element.pause();
  }

  /** Have `see` look at what is on show. The picture's own time says which frame it is, where the browser tells
   *  it; else it is `number`, which the last callback told. */
  look(number: number, see: (shown: Shown) => void): void {
    if (this.element.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return; // a seek is under way
    if (!('VideoFrame' in globalThis)) return see({ picture: this.element, number });
    const picture = new VideoFrame(this.element);
    try {
      see({ picture, number: this.times.nearest(picture.timestamp / 1e6 - this.origin) });
    } finally {
      picture.close();
    }
  }

  /** When a frame is shown, seconds from the first. */
  second(number: number): number {
    return this.times.seconds[number] ?? 0;
  }

  private begin(search: Search): void {
    this.search = search;
    this.element.pause();
    this.element.loop = false; // or a seek to the very end would lead to the beginning
    const from = Math.max(0, search.target - search.back);
    this.element.currentTime = this.origin + this.times.inside(from, this.element.duration - this.origin);
  }

  private called(metadata: VideoFrameCallbackMetadata): void {
    // Asked for again before anything is painted: a frame that comes meanwhile would call nobody.
    this.callback = this.element.requestVideoFrameCallback((_, later) => this.called(later));
    if (this.frame === null) this.origin = metadata.mediaTime; // nothing was sought or played yet
    this.arrive(this.times.nearest(metadata.mediaTime - this.origin));
  }

  /** A busy browser may swallow the callback of the first frame, or of one that was sought, but not its picture. */
  private expect(): void {
    clearTimeout(this.overdue);
    const { search, clip } = this;
    if (!search && this.frame !== null) return;
    this.overdue = window.setTimeout(() => {
      if (this.search !== search || this.clip !== clip || this.element.seeking) return;
      if (this.frame === null) this.look(0, ({ picture }) => (this.origin = startOf(picture)));
      this.arrive(search ? search.target - search.back : 0);
    }, OVERDUE);
  }

  private arrive(number: number): void {
    this.look(number, (shown) => {
      if (this.search && this.element.seeking && shown.number !== this.search.target) return; // of before the seek
      clearTimeout(this.overdue);
      this.frame = shown.number;
      if (this.search && this.next === null && this.goOn(this.search, shown.number)) return;
      if (this.search) this.element.pause();
      this.search = null;
      this.onFrame(shown);
    });
    if (this.next !== null && !this.search) {
      const target = this.next;
      this.next = null;
      this.seek(target);
    } else if (this.waiting !== null) this.play(this.waiting);
  }

  /** Whether the search is not over with this frame; then it has been led on. */
  private goOn(search: Search, number: number): boolean {
    if (number === search.target) return false;
    if (number > search.target) {
      if (search.back >= FARTHEST || search.back >= search.target) return false; // there is no way to it
      this.begin({ ...search, back: search.back + 1 });
    } else if (this.element.paused) {
      this.element.playbackRate = APPROACH / (1 + search.back);
      this.element.play().catch(() => undefined);
    }
    return true;
  }
}

/** Media time of a picture that is the clip's first, seconds; 0 where the browser does not tell. */
function startOf(picture: Shown['picture']): number {
  return 'timestamp' in picture ? picture.timestamp / 1e6 : 0;
}
