/** How clips are shown, kept for the next visit: what is painted, how fast it plays. */
import { effect, signal } from '@preact/signals';

export interface Showing {
  fill: boolean;
  outline: boolean;
  boxes: boolean;
  autoplay: boolean;
  ahead: boolean; // the clips beside the one on show are made ready
  rate: number;
}

export const RATES = [0.25, 0.5, 1, 2, 4];

const PLACE = 'dreamreel.showing';
const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
const DEFAULT: Showing = { fill: true, outline: true, boxes: false, autoplay: !still, ahead: true, rate: 1 };

export const showing = signal<Showing>(kept());

effect(() => localStorage.setItem(PLACE, JSON.stringify(showing.value)));

export function change(part: Partial<Showing>): void {
  showing.value = { ...showing.value, ...part };
}

export function faster(by: 1 | -1): void {
  const at = RATES.indexOf(showing.value.rate) + by;
  change({ rate: RATES[Math.max(0, Math.min(RATES.length - 1, at))]! });
}

/** Colours of tracks in their order: apart for all kinds of sight, and bright enough for a name in dark ink. */
export const TRACK_COLOURS = ['#ffb000', '#4cc9f0', '#ff7096', '#7ee081', '#c8a2ff', '#ff8a4c', '#f2f2f2', '#7aa7ff'];

export function trackColour(place: number): string {
  return TRACK_COLOURS[place % TRACK_COLOURS.length]!;
}

function kept(): Showing {
  try {
    return { ...DEFAULT, ...(JSON.parse(localStorage.getItem(PLACE) ?? '{}') as Partial<Showing>) };
  } catch {
    return DEFAULT;
  }
}
