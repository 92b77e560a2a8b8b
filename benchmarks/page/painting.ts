/** What the page paints with, for `benchmarks.page.browser`, and beside it the plain way: decode a mask, put its pixels. */
import { fillMask } from '../../curation_ui/web/src/player/paint.ts';
import { pack, runLengths } from '../../curation_ui/web/src/player/runs.ts';

type Counts = (string | null)[];

/** Milliseconds a frame: spans packed before, and masks decoded when they are shown; alternating, over all frames. */
export function compare(counts: Counts, height: number, width: number, rounds: number): { spans: number[]; decoded: number[] } {
  const canvas = new OffscreenCanvas(width, height).getContext('2d')!;
  const packed = pack(1, counts, height, width);
  const found = { spans: [] as number[], decoded: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    found.spans.push(timed(counts, (_, t) => fillMask(canvas as unknown as CanvasRenderingContext2D, packed, t, '#ffb000')));
    found.decoded.push(timed(counts, (mask) => mask && putPixels(canvas, mask, height, width)));
  }
  return found;
}

function timed(counts: Counts, paint: (mask: string | null, t: number) => unknown): number {
  const began = performance.now();
  counts.forEach(paint);
  return (performance.now() - began) / counts.length;
}

function putPixels(canvas: OffscreenCanvasRenderingContext2D, mask: string, height: number, width: number): void {
  const picture = canvas.createImageData(width, height);
  let at = 0;
  runLengths(mask, height * width).forEach((length, place) => {
    if (place % 2)
      for (let n = at; n < at + length; n++)
        picture.data.set([255, 176, 0, 97], 4 * ((n % height) * width + Math.floor(n / height)));
    at += length;
  });
  canvas.putImageData(picture, 0, 0);
}

Object.assign(globalThis, { comparePainting: compare });
