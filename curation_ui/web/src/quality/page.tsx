/** Quality: a seeded, stratified sample of the dataset, how far one is through it, and the error rate with its interval. */
import './quality.css';
import { useEffect } from 'preact/hooks';
import { api, post } from '../api.ts';
import { useAnswer } from '../asked.ts';
import { useColumns } from '../grid/facets.tsx';
import { useKeys } from '../keys.tsx';
import { count, counted, percent } from '../numbers.ts';
import type { PageProps } from '../pages.ts';
import { written } from '../review/walk.ts';
import { address, go, place } from '../routing.tsx';
import { home } from '../session.tsx';
import { say } from '../toasts.tsx';
import type { QualitySample, SampleRequest, Stratum } from '../wire.ts';
import { IntervalBar, sentence } from './interval.tsx';

const SIZE = 400;

export function QualityPage({ dataset }: PageProps) {
  const { query } = place.value;
  const by = query.get('by') ?? 'subject';
  const request: SampleRequest = {
    size: Math.max(1, Math.min(20_000, Number(query.get('size') ?? SIZE) || SIZE)),
    seed: Number(query.get('seed') ?? 0) || 0,
    by: by === 'none' ? null : by,
  };
  const sample = useAnswer([dataset.dataset, request], () => post<QualitySample>(api(dataset.dataset, 'sample'), request)).value;
  useEffect(() => {
    document.title = `Quality · ${dataset.title}`;
  }, [dataset.title]);
  const review = () => {
    if (!sample) return;
    const at = sample.decided.indexOf(false);
    const first = sample.keys[Math.max(0, at)];
    if (!first) return say('The sample is empty: the dataset has no clips.');
    const named = (home.value?.datasets.length ?? 0) > 1;
    const view = written({ of: 'sample', sample: request });
    go(address(`/clip/${first}`, { dataset: named ? dataset.dataset : null, view, at: Math.max(0, at) || null }));
  };
  useKeys('Quality', [{ keys: ['Enter'], does: 'review the sample', run: review }]);
  const done = sample?.decided.filter(Boolean).length ?? 0;
  return (
    <div class="sheet-page">
      <header>
        <h1>Quality</h1>
        <p class="faint">
          A sample that anyone can draw again by its seed. Every stratum gets its share; the interval is Wilson’s.
        </p>
      </header>
      <Settings dataset={dataset.dataset} request={request} />
      {sample && (
        <>
          <section class="headline" aria-label="Result">
            <Figure title="Reject rate" value={percent(sample.rejected.share)} note={sentence(sample.rejected)} />
            <Figure title="Rejected or corrected" value={percent(sample.corrected.share)} note={sentence(sample.corrected)} />
            <Figure
              title="Weighted by strata"
              value={percent(sample.weighted)}
              note={sample.weighted === null ? 'once every stratum has a decision' : 'each stratum by its clips'}
            />
          </section>
          <div class="progress-line">
            <progress max={Math.max(1, sample.keys.length)} value={done} aria-label="Decided" />
            <span class="number">
              {count(done)} of {counted(sample.keys.length, 'clip')} decided
            </span>
            <button type="button" class="primary" onClick={review} disabled={!sample.keys.length}>
              {done === 0 ? 'Begin' : done < sample.keys.length ? 'Go on' : 'Look again'}
            </button>
          </div>
          <Strata strata={sample.strata} />
        </>
      )}
    </div>
  );
}

function Settings({ dataset, request }: { dataset: string; request: SampleRequest }) {
  const columns = useColumns(dataset, 'samples').value ?? [];
  const change = (part: Record<string, string | number>) => {
    const now = { dataset: place.value.query.get('dataset'), size: request.size!, seed: request.seed!, by: request.by ?? 'none' };
    go(address('/quality', { ...now, ...part }), true);
  };
  return (
    <form class="settings" onSubmit={(event) => event.preventDefault()}>
      <label>
        Clips
        <input type="number" min={1} max={20_000} value={request.size} onChange={(e) => change({ size: e.currentTarget.value })} />
      </label>
      <label>
        Seed
        <input type="number" min={0} value={request.seed} onChange={(e) => change({ seed: e.currentTarget.value })} />
      </label>
      <label>
        Strata
        <select value={request.by ?? 'none'} onChange={(e) => change({ by: e.currentTarget.value })}>
          <option value="none">none</option>
          {columns
            .filter((column) => column.group !== 'review')
            .map((column) => (
              <option key={column.name} value={column.name}>
                {column.label}
              </option>
            ))}
        </select>
      </label>
    </form>
  );
}

export function Figure({ title, value, note }: { title: string; value: string; note: string }) {
  return (
    <div class="figure">
      <h2>{title}</h2>
      <strong class="number">{value}</strong>
      <p class="faint number">{note}</p>
    </div>
  );
}

function Strata({ strata }: { strata: readonly Stratum[] }) {
  return (
    <table class="plain">
      <thead>
        <tr>
          <th>Stratum</th>
          <th class="end">Clips</th>
          <th class="end">Sampled</th>
          <th class="end">Decided</th>
          <th class="end">Rejected</th>
          <th>Rate and interval</th>
        </tr>
      </thead>
      <tbody>
        {strata.map((stratum) => (
          <tr key={stratum.name}>
            <th scope="row">{stratum.name || 'all'}</th>
            <td class="end number">{count(stratum.clips)}</td>
            <td class="end number">{count(stratum.sampled)}</td>
            <td class="end number">{count(stratum.rejected.of)}</td>
            <td class="end number">{count(stratum.rejected.count)}</td>
            <td>
              <IntervalBar interval={stratum.rejected} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
