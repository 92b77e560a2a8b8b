/** One measured value's histogram, to brush: drag over it, or move its two ends by keyboard. */
import { useRef } from 'preact/hooks';
import { measured } from '../numbers.ts';
import type { Histogram as Bins, Range } from '../wire.ts';

interface Props {
  label: string;
  bins: Bins;
  range: Range | undefined;
  onRange: (range: Range) => void;
}

export function Histogram({ label, bins, range, onRange }: Props) {
  const { edges, counts, column } = bins;
  const last = counts.length;
  const [low, high] = selected(edges, range);
  const choose = (from: number, to: number) =>
    onRange({
      column,
      low: from <= 0 ? null : edges[Math.min(from, last - 1)]!,
      high: to >= last ? null : edges[Math.max(to, 1)]!,
    });
  const brush = useBrush(last, choose);
  if (!edges.length) return <p class="faint">No clip has this value.</p>;
  return (
    <div class="histogram">
      <svg viewBox={`0 0 ${last} 1`} preserveAspectRatio="none" aria-hidden="true" {...brush}>
        <path class="bars" d={bars(counts, 0, last)} />
        <path class="bars chosen" d={bars(counts, low, high)} />
      </svg>
      <div class="ends">
        <input
          type="range"
          min={0}
          max={last}
          value={low}
          aria-label={`${label}, at least`}
          aria-valuetext={measured(edges[low]!)}
          onInput={(event) => choose(Math.min(event.currentTarget.valueAsNumber, high - 1), high)}
        />
        <input
          type="range"
          min={0}
          max={last}
          value={high}
          aria-label={`${label}, at most`}
          aria-valuetext={measured(edges[high]!)}
          onInput={(event) => choose(low, Math.max(event.currentTarget.valueAsNumber, low + 1))}
        />
      </div>
      <div class="scale" aria-hidden="true">
        <span>{measured(edges[low]!)}</span>
        <span>{measured(edges[high]!)}</span>
      </div>
    </div>
  );
}

/** The bins between which a range lies. */
function selected(edges: readonly number[], range: Range | undefined): [number, number] {
  const last = edges.length - 1;
  const { low = null, high = null } = range ?? {};
  const from = low === null ? 0 : Math.max(0, edges.findLastIndex((edge) => edge <= low));
  const to = high === null ? last : edges.findIndex((edge) => edge >= high);
  return [from, to < 0 ? last : Math.max(to, from + 1)];
}

/** Bars from bin `from` to `to`; heights by square root, so that the small ones are seen too. */
function bars(counts: readonly number[], from: number, to: number): string {
  const most = Math.sqrt(Math.max(1, ...counts));
  return counts
    .slice(from, to)
    .map((number, n) => (number ? `M${from + n + 0.06} 1V${1 - Math.max(0.04, Math.sqrt(number) / most)}h.88V1z` : ''))
    .join('');
}

/** Pointer handlers: drag over bins to choose them, click to let go. */
function useBrush(last: number, choose: (from: number, to: number) => void) {
  const began = useRef<number | null>(null);
  const at = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    return Math.max(0, Math.min(last, ((event.clientX - box.left) / box.width) * last));
  };
  return {
    onPointerDown: (event: PointerEvent) => {
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
      began.current = at(event);
    },
    onPointerMove: (event: PointerEvent) => {
      if (began.current === null) return;
      const [from, to] = [began.current, at(event)].sort((a, b) => a - b) as [number, number];
      if (to - from > 0.3) choose(Math.floor(from), Math.ceil(to));
    },
    onPointerUp: (event: PointerEvent) => {
      if (began.current !== null && Math.abs(at(event) - began.current) <= 0.3) choose(0, last);
      began.current = null;
    },
  };
}
