/** Lines over the frames of a clip, drawn by uPlot; each series has a scale of its own from 0. */
import 'uplot/dist/uPlot.min.css';
import uPlot from 'uplot';

export interface Line {
  scale: string; // lines of one name share it
  values: readonly (number | null)[];
  colour: string;
  dash: number[];
}

export function draw(
  place: HTMLElement,
  lines: readonly Line[],
  frames: number,
  height: number,
  onSeek: (frame: number) => void,
): uPlot {
  const scales = Object.fromEntries(lines.map(({ scale }) => [scale, { range: fromZero }]));
  const plot = new uPlot(
    {
      width: Math.max(1, place.clientWidth),
      height,
      padding: [6, 0, 2, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
      axes: [{ show: false }, { show: false }],
      scales: { x: { time: false, range: [0, Math.max(1, frames - 1)] }, ...scales },
      series: [
        {},
        ...lines.map(({ scale, colour, dash }) => ({ scale, stroke: colour, dash, width: 1.6, points: { show: false } })),
      ],
    },
    [Array.from({ length: frames }, (_, n) => n), ...lines.map(({ values }) => [...values])],
    place,
  );
  const seek = (event: PointerEvent) => {
    const box = plot.over.getBoundingClientRect();
    onSeek(Math.round(((event.clientX - box.left) / box.width) * (frames - 1)));
  };
  plot.over.addEventListener('pointerdown', seek);
  plot.over.addEventListener('pointermove', (event) => event.buttons === 1 && seek(event));
  const watch = new ResizeObserver(() => plot.setSize({ width: Math.max(1, place.clientWidth), height }));
  watch.observe(place);
  plot.hooks.destroy = [() => watch.disconnect()];
  return plot;
}

function fromZero(_: uPlot, least: number | null, most: number | null): [number, number] {
  const top = Math.max(most ?? 1, 1e-6);
  return [Math.min(0, least ?? 0), top > 0.5 && top <= 1 ? 1.02 : top * 1.1];
}
