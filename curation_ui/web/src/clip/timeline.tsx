/** The clip over time: a handle for the frame, where each track is present, and its values frame by frame. */
import { useEffect, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import type { Clip, TrackInfo } from '../wire.ts';
import type { Desk } from './desk.ts';
import { trackColour } from './settings.ts';

export function Timeline({ desk, clip }: { desk: Desk; clip: Clip }) {
  const last = clip.pts.length - 1;
  const frame = desk.player.frame.value;
  return (
    <div class="timeline" style={{ '--at': String(last ? frame / last : 0) }}>
      <input
        type="range"
        class="scrub"
        aria-label="Frame"
        min={0}
        max={last}
        value={frame}
        onInput={(event) => desk.player.seek(event.currentTarget.valueAsNumber)}
      />
      <div class="lanes" hidden={!clip.tracks.length}>
        {clip.tracks.map((track, place) => (
          <Presence key={track.id} track={track} colour={trackColour(place)} />
        ))}
        <Series desk={desk} clip={clip} />
        <i class="now" aria-hidden="true" />
      </div>
    </div>
  );
}

/** A lane that is filled where the track has a box. */
function Presence({ track, colour }: { track: TrackInfo; colour: string }) {
  const present = track.boxes.filter(Boolean).length;
  const spans = track.boxes.map((box, n) => (box ? `M${n} 0h1v1h-1z` : '')).join('');
  return (
    <svg
      class={track.dropped ? 'presence dropped' : 'presence'}
      viewBox={`0 0 ${track.boxes.length} 1`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`${track.noun} is in ${present} of ${track.boxes.length} frames`}
    >
      <path d={spans} fill={colour} />
    </svg>
  );
}

const HEIGHT = 96; // pixels
const DASHES: readonly number[][] = [[], [5, 4], [2, 3]]; // of the first series of a track, the second, ...

/** Area, confidence and whatever else has a value in every frame; the library comes once it is needed. */
function Series({ desk, clip }: { desk: Desk; clip: Clip }) {
  const place = useRef<HTMLDivElement>(null);
  const hidden = desk.hidden.value;
  const names = [...new Set(clip.tracks.flatMap((track) => Object.keys(track.series)))];
  useEffect(() => {
    let plot: uPlot | null = null;
    let gone = false;
    const element = place.current!;
    void import('./plot.ts').then(({ draw }) => {
      if (gone) return;
      const lines = clip.tracks.flatMap((track, n) =>
        hidden.has(track.id) || track.dropped
          ? []
          : names.map((name, series) => ({
              scale: name,
              values: track.series[name] ?? [],
              colour: trackColour(n),
              dash: DASHES[series % DASHES.length]!,
            })),
      );
      const seek = (frame: number) => desk.player.seek(frame);
      plot = draw(element, lines, clip.pts.length, HEIGHT, seek);
    });
    return () => {
      gone = true;
      plot?.destroy();
    };
  }, [clip.key, hidden, clip.tracks]);
  return (
    <>
      <div class="series" ref={place} role="img" aria-label={`${names.join(' and ')} of each track, frame by frame`} />
      <p class="legend faint" aria-hidden="true">
        {names.map((name, n) => (
          <span key={name} class={`dash-${n}`}>
            {name}
          </span>
        ))}
      </p>
    </>
  );
}
