/** A share with its 95 % interval, as a sentence and as a bar. */
import { counted, percent } from '../numbers.ts';
import type { Interval } from '../wire.ts';

/** "2.5 %, 95 % CI 1.4 – 4.5 %, 400 clips" */
export function sentence(interval: Interval, noun = 'clip'): string {
  if (interval.share === null) return 'nothing yet';
  const range = `${(100 * interval.low!).toFixed(1)} – ${percent(interval.high)}`;
  return `${percent(interval.share)}, 95 % CI ${range}, ${counted(interval.of, noun)}`;
}

/** The interval on a line from 0 to `most`. */
export function IntervalBar({ interval, most = 1 }: { interval: Interval; most?: number }) {
  const { share, low, high } = interval;
  return (
    <svg class="interval" viewBox="0 0 200 16" preserveAspectRatio="none" role="img" aria-label={sentence(interval)}>
      <rect class="rail" x="0" y="7" width="200" height="2" />
      {share !== null && (
        <>
          <rect class="range" x={(200 * low!) / most} y="4" width={Math.max(2, (200 * (high! - low!)) / most)} height="8" rx="4" />
          <rect class="share" x={(200 * share) / most - 1.5} y="1" width="3" height="14" rx="1.5" />
        </>
      )}
    </svg>
  );
}
