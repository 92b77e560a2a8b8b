/** Painting of one frame: the picture, and over it each shown track's mask, outline and box, in one go. */
import type { PackedMasks } from './runs.ts';

export type Box = readonly [x0: number, y0: number, x1: number, y1: number];

export interface Layer {
  masks: PackedMasks | null;
  boxes: readonly (Box | null)[];
  colour: string; // as CSS has it
  label: string;
}

export interface Look {
  fill: boolean;
  outline: boolean;
  boxes: boolean;
}

const FILL_SHARE = 0.38;

/** Paint `picture` and the layers of frame `number`; `scale` canvas pixels stand for one of the video's. */
export function paint(
  canvas: CanvasRenderingContext2D,
  picture: CanvasImageSource | null,
  layers: readonly Layer[],
  number: number,
  scale: number,
  look: Look,
): void {
  canvas.setTransform(1, 0, 0, 1, 0, 0);
  if (picture) canvas.drawImage(picture, 0, 0, canvas.canvas.width, canvas.canvas.height);
  canvas.setTransform(scale, 0, 0, scale, 0, 0);
  for (const layer of layers) {
    if (look.fill && layer.masks) fillMask(canvas, layer.masks, number, layer.colour);
    if (look.outline && layer.masks) drawOutline(canvas, layer.masks, number, layer.colour, scale);
    const box = look.boxes ? layer.boxes[number] : null;
    if (box) strokeBox(canvas, box, layer, scale);
  }
}

export function fillMask(canvas: CanvasRenderingContext2D, masks: PackedMasks, number: number, colour: string): void {
  const { areas, areasAt } = masks;
  canvas.globalAlpha = FILL_SHARE;
  canvas.fillStyle = colour;
  for (let at = 4 * (areasAt[number] ?? 0); at < 4 * (areasAt[number + 1] ?? 0); at += 4) {
    const [x0, y0] = [areas[at]!, areas[at + 1]!];
    canvas.fillRect(x0, y0, areas[at + 2]! - x0, areas[at + 3]! - y0); // a third of what a path takes
  }
  canvas.globalAlpha = 1;
}

/** Lines two canvas pixels wide, on the border between subject and background. */
export function drawOutline(
  canvas: CanvasRenderingContext2D,
  masks: PackedMasks,
  number: number,
  colour: string,
  scale: number,
): void {
  const { edges, edgesAt } = masks;
  const half = 1 / scale;
  canvas.fillStyle = colour;
  for (let at = 4 * (edgesAt[number] ?? 0); at < 4 * (edgesAt[number + 1] ?? 0); at += 4) {
    const [x0, y0] = [edges[at]!, edges[at + 1]!];
    canvas.fillRect(x0 - half, y0 - half, edges[at + 2]! - x0 + 2 * half, edges[at + 3]! - y0 + 2 * half);
  }
}

function strokeBox(canvas: CanvasRenderingContext2D, box: Box, layer: Layer, scale: number): void {
  const [x0, y0, x1, y1] = box;
  canvas.setLineDash([6 / scale, 4 / scale]);
  canvas.strokeStyle = layer.colour;
  canvas.lineWidth = 1.5 / scale;
  canvas.strokeRect(x0, y0, x1 - x0, y1 - y0);
  canvas.setLineDash([]);
  const size = canvas.canvas.width / 80 / scale; // as large on show, whatever the video's size
  canvas.font = `600 ${size}px system-ui, sans-serif`;
  const width = canvas.measureText(layer.label).width + size * 0.7;
  const top = y0 > 1.5 * size ? y0 - 1.45 * size : y0;
  canvas.fillStyle = layer.colour;
  canvas.fillRect(x0, top, width, 1.45 * size);
  canvas.fillStyle = '#101418';
  canvas.fillText(layer.label, x0 + 0.35 * size, top + 1.08 * size);
}
