/** Masks as the shards have them (COCO's compressed run lengths) made into what a canvas can paint. */

/** Masks of one track through a clip, packed; frame t owns [at[t], at[t + 1]) of each list. */
export interface PackedMasks {
  id: number;
  /** x0, y0, x1, y1 of rectangles that are the mask, pixels, half-open. */
  areas: Uint16Array;
  areasAt: Uint32Array; // [T + 1], in rectangles
  /** x0, y0, x1, y1 of each line of the outline, between pixels. */
  edges: Uint16Array;
  edgesAt: Uint32Array; // [T + 1], in lines
}

const ENDS = 2 ** 16; // more than any row's number

/** Run lengths of one mask, background first. Throws where `counts` is no mask of `pixels` pixels. */
export function runLengths(counts: string, pixels: number): number[] {
  const runs: number[] = [];
  let total = 0;
  for (let at = 0; at < counts.length; ) {
    let number = 0;
    let shift = 0;
    let group: number;
    do {
      group = counts.charCodeAt(at++) - 48;
      if (!(group >= 0 && group < 64) || shift > 30) throw new Error('a mask is not run lengths');
      number += (group & 31) * 2 ** shift;
      shift += 5;
    } while (group & 32);
    if (group & 16) number -= 2 ** shift;
    if (runs.length > 2) number += runs[runs.length - 2]!;
    if (number < 0) throw new Error('a run length is negative');
    runs.push(number);
    total += number;
  }
  if (total !== pixels) throw new Error(`run lengths sum to ${total}, not to ${pixels}`);
  return runs;
}

/** All masks of a track, `null` where a frame has none. */
export function pack(id: number, counts: readonly (string | null)[], height: number, width: number): PackedMasks {
  const areas = new Rectangles();
  const edges = new Rectangles();
  const areasAt = new Uint32Array(counts.length + 1);
  const edgesAt = new Uint32Array(counts.length + 1);
  counts.forEach((mask, t) => {
    if (mask !== null) {
      const columns = columnsOf(runLengths(mask, height * width), height, width);
      fill(columns, areas);
      outline(columns, edges);
    }
    areasAt[t + 1] = areas.length;
    edgesAt[t + 1] = edges.length;
  });
  return { id, areas: areas.packed(), areasAt, edges: edges.packed(), edgesAt };
}

/** Where each column's spans begin and end, rising: [y0, y1, y0, y1, ...]. */
function columnsOf(runs: readonly number[], height: number, width: number): number[][] {
  const columns: number[][] = Array.from({ length: width }, () => []);
  let start = 0;
  runs.forEach((length, place) => {
    const end = start + length;
    if (place % 2)
      for (let at = start; at < end; ) {
        const x = Math.floor(at / height);
        const stop = Math.min(end, (x + 1) * height);
        columns[x]!.push(at - x * height, stop - x * height);
        at = stop;
      }
    start = end;
  });
  return columns;
}

/** Rectangles, disjoint: a span that the next columns have too reaches as far as they do. */
function fill(columns: readonly number[][], areas: Rectangles): void {
  let open = new Map<number, number>(); // both ends of a span that reaches the present column -> where it began
  for (let x = 0; x <= columns.length; x++) {
    const column = columns[x] ?? [];
    const spans = new Map<number, number>();
    for (let n = 0; n < column.length; n += 2) {
      const ends = column[n]! * ENDS + column[n + 1]!;
      spans.set(ends, open.get(ends) ?? x);
    }
    for (const [ends, began] of open) if (!spans.has(ends)) areas.add(began, Math.floor(ends / ENDS), x, ends % ENDS);
    open = spans;
  }
}

/** The lines between subject and background: upright ones between two columns, level ones joined along their row. */
function outline(columns: readonly number[][], edges: Rectangles): void {
  let open = new Map<number, number>(); // y of a level line that reaches the present column -> where it began
  let before: number[] = [];
  for (let x = 0; x <= columns.length; x++) {
    const column = columns[x] ?? [];
    const ends = [...before, ...column].sort((a, b) => a - b);
    for (let n = 0; n < ends.length; n += 2) if (ends[n]! < ends[n + 1]!) edges.add(x, ends[n]!, x, ends[n + 1]!);
    const levels = new Map<number, number>();
    for (const y of column) levels.set(y, open.get(y) ?? x);
    for (const [y, began] of open) if (!levels.has(y)) edges.add(began, y, x, y);
    open = levels;
    before = column;
  }
}

/** A typed list that grows, of four numbers each. */
class Rectangles {
  private numbers = new Uint16Array(1024);
  private used = 0;

  get length(): number {
    return this.used / 4;
  }

  add(x0: number, y0: number, x1: number, y1: number): void {
    if (this.used + 4 > this.numbers.length) {
      const larger = new Uint16Array(2 * this.numbers.length);
      larger.set(this.numbers);
      this.numbers = larger;
    }
    this.numbers.set([x0, y0, x1, y1], this.used);
    this.used += 4;
  }

  packed(): Uint16Array {
    return this.numbers.slice(0, this.used);
  }
}
