/** The tracks of a clip: shown or hidden, kept or dropped. */
import { measured, percent } from '../numbers.ts';
import type { Clip, TrackInfo } from '../wire.ts';
import type { Desk } from './desk.ts';
import { trackColour } from './settings.ts';

interface Props {
  desk: Desk;
  clip: Clip;
  onDrop: (track: TrackInfo) => void;
}

export function Tracks({ desk, clip, onDrop }: Props) {
  const frame = desk.player.frame.value;
  return (
    <ul class="tracks">
      {clip.tracks.map((track, place) => {
        const shown = !desk.hidden.value.has(track.id) && !track.dropped;
        return (
          <li key={track.id} class={[track.dropped && 'dropped', place === desk.chosen.value && 'chosen'].filter(Boolean).join(' ')}>
            <label>
              <input
                type="checkbox"
                checked={shown}
                disabled={track.dropped}
                onChange={() => desk.toggleTrack(track.id)}
                style={{ '--track': trackColour(place) }}
              />
              <span class="noun">{track.noun}</span>
              <span class="number faint">{track.dropped ? 'dropped' : glimpse(track, frame)}</span>
            </label>
            {clip.sha256 && (
              <button type="button" class="quiet small" onClick={() => onDrop(track)}>
                {track.dropped ? 'Take back' : 'Drop'}
                <span class="hidden"> {track.noun}, track {track.id}</span>
              </button>
            )}
          </li>
        );
      })}
    </ul>
  );
}

/** What is measured of a track in one frame. */
export function glimpse(track: TrackInfo, frame: number): string {
  if (!track.boxes[frame]) return 'not in this frame';
  const said = Object.entries(track.series).map(([name, values]) => {
    const value = values[frame] ?? null;
    return value === null ? '' : `${name} ${name === 'area' ? percent(value) : measured(value)}`;
  });
  return said.filter(Boolean).join(' · ');
}
