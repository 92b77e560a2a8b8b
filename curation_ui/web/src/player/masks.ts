/** Packed masks by address, fetched and decoded in a Worker; the last few clips' are kept. */
import type { MaskAnswer, MaskRequest } from './masks.worker.ts';
import type { PackedMasks } from './runs.ts';

const KEPT = 12; // clips

interface Waiting {
  tracks: PackedMasks[] | null; // once they are there
  done: Promise<PackedMasks[]>;
  resolve: (tracks: PackedMasks[]) => void;
  reject: (fault: Error) => void;
}

export class MaskStore {
  private readonly worker = new Worker(new URL('./masks.worker.ts', import.meta.url), { type: 'module' });
  private readonly asked = new Map<string, Waiting>();

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<MaskAnswer>) => {
      const waiting = this.asked.get(data.url);
      if ('tracks' in data) {
        if (waiting) waiting.tracks = data.tracks;
        waiting?.resolve(data.tracks);
      } else {
        this.asked.delete(data.url); // whoever asks again tries again
        waiting?.reject(new Error(data.fault));
      }
    };
  }

  /** The masks at `url` where they are there already. */
  ready(url: string): PackedMasks[] | null {
    return this.asked.get(url)?.tracks ?? null;
  }

  /** The masks at `url`; asked for once, however often this is called. */
  get(url: string): Promise<PackedMasks[]> {
    const known = this.asked.get(url);
    if (known) {
      this.asked.delete(url);
      this.asked.set(url, known); // the latest used stands last
      return known.done;
    }
    const { promise: done, resolve, reject } = withResolvers<PackedMasks[]>();
    done.catch(() => undefined); // a fault is told to whoever waits; nobody may
    this.asked.set(url, { tracks: null, done, resolve, reject });
    if (this.asked.size > KEPT) this.asked.delete(this.asked.keys().next().value!);
    this.worker.postMessage({ url } satisfies MaskRequest);
    return done;
  }
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (fault: Error) => void } {
  let resolve!: (value: T) => void;
  let reject!: (fault: Error) => void;
  const promise = new Promise<T>((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
}
