/** Agreement: reviewers against each other, and the clips on which somebody has to settle. */
import './quality.css';
import { useEffect } from 'preact/hooks';
import { api, get } from '../api.ts';
import { useAnswer } from '../asked.ts';
import { Strip } from '../grid/card.tsx';
import { count, counted, measured, percent } from '../numbers.ts';
import type { PageProps } from '../pages.ts';
import { written } from '../review/walk.ts';
import { address, Link } from '../routing.tsx';
import { home } from '../session.tsx';
import type { Agreement, Disagreement, Pair } from '../wire.ts';
import { Figure } from './page.tsx';

export function AgreementPage({ dataset }: PageProps) {
  const answer = useAnswer(dataset.dataset, () => get<Agreement>(api(dataset.dataset, 'agreement'))).value;
  useEffect(() => {
    document.title = `Agreement · ${dataset.title}`;
  }, [dataset.title]);
  if (!answer) return <p class="waiting-page">Comparing…</p>;
  return (
    <div class="sheet-page">
      <header>
        <h1>Agreement</h1>
        <p class="faint">
          {home.value?.blind
            ? 'Reviewers do not see each other’s verdicts on a clip before two have decided it.'
            : 'Verdicts are open to all here; start the page with --blind to keep reviewers apart.'}
        </p>
      </header>
      <section class="headline" aria-label="Result">
        <Figure title="Krippendorff’s alpha" value={measured(answer.alpha)} note={`over ${counted(answer.twice, 'clip')} that two or more decided`} />
        <Figure title="To be settled" value={count(answer.open)} note={`${counted(answer.queue.length, 'disagreement')} in all`} />
      </section>
      {answer.pairs.length > 0 && <Pairs pairs={answer.pairs} />}
      <table class="plain">
        <thead>
          <tr>
            <th>Reviewer</th>
            <th class="end">Decided</th>
            <th class="end">Rejected</th>
          </tr>
        </thead>
        <tbody>
          {answer.reviewers.map((reviewer) => (
            <tr key={reviewer.who}>
              <th scope="row">{reviewer.who}</th>
              <td class="end number">{count(reviewer.decided)}</td>
              <td class="end number">{count(reviewer.rejected)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <Queue dataset={dataset.dataset} queue={answer.queue} />
    </div>
  );
}

function Pairs({ pairs }: { pairs: readonly Pair[] }) {
  return (
    <table class="plain">
      <thead>
        <tr>
          <th>Pair</th>
          <th class="end">Clips</th>
          <th class="end">Agree</th>
          <th class="end">Both accept</th>
          <th class="end">Only the first</th>
          <th class="end">Only the second</th>
          <th class="end">Both reject</th>
          <th class="end">Cohen’s kappa</th>
        </tr>
      </thead>
      <tbody>
        {pairs.map(({ a, b, clips, agree, table, kappa }) => (
          <tr key={`${a} ${b}`}>
            <th scope="row">
              {a} and {b}
            </th>
            <td class="end number">{count(clips)}</td>
            <td class="end number">{percent(clips ? agree / clips : null)}</td>
            {table.map((number, n) => (
              <td key={n} class="end number">
                {count(number)}
              </td>
            ))}
            <td class="end number">{measured(kappa)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Queue({ dataset, queue }: { dataset: string; queue: readonly Disagreement[] }) {
  if (!queue.length) return <p class="faint">There is no clip on which reviewers differ.</p>;
  const named = (home.value?.datasets.length ?? 0) > 1;
  const open = queue.filter((one) => !one.settled_by);
  const view = written({ of: 'keys', keys: open.slice(0, 200).map((one) => one.key) });
  return (
    <section aria-labelledby="queue-title">
      <h2 id="queue-title">To be settled first</h2>
      <ul class="queue">
        {queue.map((one) => {
          const at = open.indexOf(one);
          const to = address(`/clip/${one.key}`, { dataset: named ? dataset : null, view: at >= 0 ? view : null, at: at > 0 ? at : null });
          return (
            <li key={one.key}>
              <Link to={to}>
                {one.strip && <Strip url={one.strip} aspect={null} />}
                <span>
                  <strong>{one.subject}</strong>
                  <span class="faint">{one.caption}</span>
                </span>
              </Link>
              <ul class="votes">
                {Object.entries(one.decided).map(([who, state]) => (
                  <li key={who} class={state}>
                    {who} {state}
                  </li>
                ))}
              </ul>
              <span class="faint">{one.settled_by ? `${one.settled_as} by ${one.settled_by}` : 'open'}</span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
