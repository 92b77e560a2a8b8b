/** What the page paints with, for `benchmarks.page.browser`, and beside it the plain way: decode a mask, put its pixels. */
import { fillMask } from '../../curation_ui/web/src/player/paint.ts';
import { pack, runLengths } from '../../curation_ui/web/src/player/runs.ts';

type Counts = (string | null)[];

const COLOUR = '#ffb000';
const PIXEL = 0x6100b0ff; // the same, as a little-endian pixel that lets the picture through

/** Milliseconds a frame at the page's own scale: masks packed before, and decoded when shown; by turns. */
export function compare(counts: Counts, height: number, width: number, scale: number, rounds: number) {
  const canvas = Object.assign(document.createElement('canvas'), { width: scale * width, height: scale * height });
  const screen = canvas.getContext('2d', { alpha: false })!;
  const masks = pack(1, counts, height, width);
  const plain = decoder(height, width);
  screen.setTransform(scale, 0, 0, scale, 0, 0);
  const found = { packed: [] as number[], decoded: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    found.packed.push(timed(screen, counts, (_, t) => fillMask(screen, masks, t, COLOUR)));
    found.decoded.push(timed(screen, counts, (mask) => mask !== null && screen.drawImage(plain(mask), 0, 0)));
  }
  return found;
}

/** Until the pixels are there: a canvas only notes what it is told, until somebody reads it. */
function timed(screen: CanvasRenderingContext2D, counts: Counts, paint: (mask: string | null, t: number) => unknown): number {
  const began = performance.now();
  counts.forEach((mask, t) => {
    paint(mask, t);
    screen.getImageData(0, 0, 1, 1);
  });
  return (performance.now() - began) / counts.length;
}

/** Run lengths by columns into a picture by rows, in the fewest steps that there are without packing. */
function decoder(height: number, width: number): (mask: string) => OffscreenCanvas {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d')!;
  const picture = context.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  return (mask) => {
    pixels.fill(0);
    let at = 0;
    runLengths(mask, height * width).forEach((length, place) => {
      if (place % 2) for (let n = at; n < at + length; n++) pixels[(n % height) * width + Math.floor(n / height)] = PIXEL;
      at += length;
    });
    context.putImageData(picture, 0, 0);
    return canvas;
  };
}

Object.assign(globalThis, { comparePainting: compare });
