/** Every measured value with the thresholds that it was held against, where it came from, and what was decided when. */
import { measured, when } from '../numbers.ts';
import { said } from '../review/said.ts';
import { session } from '../session.tsx';
import type { Clip, Event, ScoreInfo } from '../wire.ts';

export function Scores({ clip }: { clip: Clip }) {
  return (
    <table class="scores">
      <caption class="hidden">Measured values and the thresholds of the dataset</caption>
      <thead class="hidden">
        <tr>
          <th>Value</th>
          <th>Measured</th>
          <th>Kept</th>
        </tr>
      </thead>
      <tbody>
        {clip.scores.map((score) => (
          <tr key={score.name} class={isBroken(score) ? 'broken' : undefined}>
            <th scope="row">{score.name}</th>
            <td class="number">{measured(score.value)}</td>
            <td class="faint" title={score.note ?? undefined}>
              {kept(score)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function isBroken({ value, low, high, note }: ScoreInfo): boolean {
  return note === null && ((low !== null && value < low) || (high !== null && value > high));
}

function kept({ low, high, note }: ScoreInfo): string {
  const or = note ? '*' : '';
  if (low !== null && high !== null) return `${measured(low)} – ${measured(high)}${or}`;
  if (low !== null) return `≥ ${measured(low)}${or}`;
  return high === null ? '' : `≤ ${measured(high)}${or}`;
}

export function Provenance({ clip }: { clip: Clip }) {
  const rows = [
    ['key', clip.key],
    ['shard', clip.shard],
    ['picture', `${clip.width} × ${clip.height}, ${measured(clip.fps)} frames/s, ${clip.codec ?? 'no video'}`],
    ['caption by', clip.caption_by],
    ...Object.entries(clip.provenance),
    ['content', clip.sha256],
  ].filter(([, value]) => value !== null && value !== '' && value !== undefined);
  return (
    <dl class="provenance">
      {rows.map(([name, value]) => (
        <div key={String(name)}>
          <dt>{String(name).replaceAll('_', ' ')}</dt>
          <dd>{typeof value === 'object' ? <Parts of={value as Record<string, unknown>} /> : String(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

function Parts({ of }: { of: Record<string, unknown> }) {
  return (
    <>
      {Object.entries(of).map(([name, value]) => (
        <div key={name}>
          {name}: {typeof value === 'object' ? JSON.stringify(value) : String(value)}
        </div>
      ))}
    </>
  );
}

export function History({ events, onUndo }: { events: readonly Event[]; onUndo: (event: Event) => void }) {
  if (!events.length) return <p class="faint">No verdict yet.</p>;
  return (
    <ol class="history">
      {events.toReversed().map((event) => (
        <li key={event.id} class={event.holds ? undefined : 'void'}>
          <span>
            <strong>{event.who}</strong> {said(event)}
            {event.stale && ' (of other content)'}
          </span>
          <time class="faint">{when(event.when)}</time>
          {event.holds && event.action !== 'undo' && event.who === session.value?.who && (
            <button type="button" class="quiet small" onClick={() => onUndo(event)}>
              Undo<span class="hidden"> {event.action}</span>
            </button>
          )}
        </li>
      ))}
    </ol>
  );
}
