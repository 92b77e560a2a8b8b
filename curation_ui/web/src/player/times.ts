/** Which frame is shown when: the nearest entry of the clip's table of frame times, never time x frame rate. */

const ROUNDING = 0.001; // seconds that a browser may round a time by

export class FrameTimes {
  /** When each frame is shown, seconds from the first, rising. */
  readonly seconds: readonly number[];

  constructor(pts: readonly number[], timeBase: readonly [numerator: number, denominator: number]) {
    this.seconds = pts.map((tick) => ((tick - pts[0]!) * timeBase[0]) / timeBase[1]);
  }

  get count(): number {
    return this.seconds.length;
  }

  /** Number of the frame whose time is nearest to `second`. */
  nearest(second: number): number {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (second > (this.seconds[middle]! + this.seconds[middle + 1]!) / 2) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** A second well inside frame `number`, to seek to: half-way to the next one. */
  inside(number: number, duration: number): number {
    const from = this.seconds[number]!;
    const next = this.seconds[number + 1];
    if (next !== undefined) return (from + next) / 2;
    const inside = (from + duration) / 2;
    return inside - from > ROUNDING ? inside : duration; // the last frame of some files lasts no time at all
  }
}
