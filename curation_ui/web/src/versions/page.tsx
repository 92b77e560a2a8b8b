/** Two versions of a dataset side by side: clips in and out, changed words, masks that moved. */
import '../quality/quality.css';
import './versions.css';
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { post } from '../api.ts';
import { useAnswer } from '../asked.ts';
import { Strip } from '../grid/card.tsx';
import { count, counted } from '../numbers.ts';
import type { PageProps } from '../pages.ts';
import { address, go, Link, place } from '../routing.tsx';
import { home } from '../session.tsx';
import type { ClipChange, DiffAnswer, DiffRequest, TrackChange } from '../wire.ts';

type Only = NonNullable<DiffRequest['only']>;

const TITLES: Record<Only, string> = {
  all: 'All differences',
  only_in_a: 'Only in the first',
  only_in_b: 'Only in the second',
  changed: 'Changed',
  subject: 'Subject',
  caption: 'Caption',
  masks: 'Masks',
  video: 'Video',
};
const LIMIT = 60;
const AGAIN = 700; // milliseconds between looks at a comparison under way

export function DiffPage(_: PageProps) {
  const { query } = place.value;
  const names = home.value?.datasets.map((one) => one.dataset) ?? [];
  const a = query.get('a') ?? names[0] ?? '';
  const b = query.get('b') ?? names[1] ?? '';
  const only = (Object.keys(TITLES).find((name) => name === query.get('only')) ?? 'all') as Only;
  const offset = Number(query.get('offset') ?? 0) || 0;
  const tries = useSignal(0);
  const answer = useAnswer([a, b, only, offset, tries.value], () =>
    post<DiffAnswer>('/api/diff', { a, b, only, offset, limit: LIMIT } satisfies DiffRequest),
  ).value;
  useEffect(() => {
    if (answer && !answer.ready) {
      const timer = setTimeout(() => tries.value++, AGAIN);
      return () => clearTimeout(timer);
    }
    return undefined;
  }, [answer]);
  useEffect(() => {
    document.title = `${a} against ${b}`;
  }, [a, b]);
  const choose = (part: Record<string, string | number | null>) => go(address('/diff', { a, b, only, ...part }), true);
  return (
    <div class="sheet-page versions">
      <header>
        <h1>Compare</h1>
        <p class="pair">
          <Choice label="First version" names={names} value={a} set={(name) => choose({ a: name })} />
          against
          <Choice label="Second version" names={names} value={b} set={(name) => choose({ b: name })} />
        </p>
      </header>
      {answer && !answer.ready && (
        <div class="progress-line">
          <progress max={Math.max(1, answer.to_compare)} value={answer.compared} aria-label="Compared" />
          <span class="number">
            {count(answer.compared)} of {counted(answer.to_compare, 'clip')} compared
          </span>
        </div>
      )}
      {answer && (
        <>
          <p class="faint">{counted(answer.same, 'clip')} the same in both.</p>
          <nav class="kinds" aria-label="Kinds of differences">
            {(Object.keys(TITLES) as Only[]).map((name) => (
              <button key={name} type="button" class="toggle" aria-pressed={name === only} onClick={() => choose({ only: name })}>
                {TITLES[name]} <span class="number">{count(answer.counts[name] ?? 0)}</span>
              </button>
            ))}
          </nav>
          <ul class="changes">
            {answer.changes.map((change) => (
              <Change key={change.key} change={change} a={a} b={b} />
            ))}
          </ul>
          {answer.total > LIMIT && (
            <nav class="pager" aria-label="Pages">
              {offset > 0 && <Link to={address('/diff', { a, b, only, offset: offset - LIMIT })}>Before</Link>}
              {offset + LIMIT < answer.total && <Link to={address('/diff', { a, b, only, offset: offset + LIMIT })}>Further</Link>}
            </nav>
          )}
        </>
      )}
    </div>
  );
}

function Choice({ label, names, value, set }: { label: string; names: readonly string[]; value: string; set: (name: string) => void }) {
  return (
    <select aria-label={label} value={value} onChange={(event) => set(event.currentTarget.value)}>
      {names.map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}

function Change({ change, a, b }: { change: ClipChange; a: string; b: string }) {
  return (
    <li>
      <Side strip={change.strip_a} there={change.side !== 'b'} dataset={a} clip={change.key} />
      <Side strip={change.strip_b} there={change.side !== 'a'} dataset={b} clip={change.key} />
      <div class="what">
        {change.side !== 'both' && <strong>only in {change.side === 'a' ? a : b}</strong>}
        {change.subject && <Words name="subject" words={change.subject} />}
        {change.caption && <Words name="caption" words={change.caption} />}
        {change.video && <p>The video differs.</p>}
        {change.tracks.map((track) => (
          <Overlap key={track.id} track={track} />
        ))}
        {change.other.length > 0 && <p class="faint">also: {change.other.join(', ')}</p>}
      </div>
    </li>
  );
}

function Side({ strip, there, dataset, clip }: { strip: string | null; there: boolean; dataset: string; clip: string }) {
  if (!there) return <div class="picture none">not in {dataset}</div>;
  return (
    <Link to={address(`/clip/${clip}`, { dataset })} label={`clip ${clip} in ${dataset}`}>
      {strip ? <Strip url={strip} aspect={null} /> : <div class="picture none">no picture</div>}
    </Link>
  );
}

function Words({ name, words: [before, after] }: { name: string; words: [string, string] }) {
  return (
    <p>
      <span class="faint">{name}</span> <del>{before}</del> <ins>{after}</ins>
    </p>
  );
}

function Overlap({ track }: { track: TrackChange }) {
  if (track.iou === null) return <p>{`Track ${track.id} is only in the ${track.side === 'a' ? 'first' : 'second'}.`}</p>;
  return (
    <p class="overlap">
      <span class="faint">track {track.id}</span>
      <meter min={0} max={1} value={track.iou} aria-label={`IoU of track ${track.id}`} />
      <span class="number">IoU {track.iou.toFixed(3)}</span>
    </p>
  );
}
