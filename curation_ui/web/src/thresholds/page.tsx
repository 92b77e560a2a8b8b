/** Thresholds: every rule's setting to be moved, and at once what a `refilter` with it would keep. */
import '../quality/quality.css';
import './thresholds.css';
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { api, get, post } from '../api.ts';
import { useAnswer } from '../asked.ts';
import { count, counted, measured } from '../numbers.ts';
import { useColumns } from '../grid/facets.tsx';
import type { PageProps } from '../pages.ts';
import type { Kind } from '../review/clips.ts';
import { Figure } from '../quality/page.tsx';
import { written } from '../review/walk.ts';
import { address, Link } from '../routing.tsx';
import { home } from '../session.tsx';
import { say } from '../toasts.tsx';
import type { Facets, Histogram, Rules, RuleSetting, Thresholds } from '../wire.ts';

type Moved = Record<string, number | null>; // null: its whole rule is off

export function ThresholdsPage({ dataset }: PageProps) {
  const rules = useAnswer(dataset.dataset, () => get<Rules>(api(dataset.dataset, 'rules'))).value;
  const moved = useSignal<Moved>({});
  const settings = moved.value;
  const answer = useAnswer(
    [dataset.dataset, settings],
    () => post<Thresholds>(api(dataset.dataset, 'thresholds'), { settings }),
    50,
  ).value;
  const columns = [...new Set(rules?.settings.flatMap((one) => one.column ?? []))];
  const histograms = useHistograms(dataset.dataset, columns);
  useEffect(() => {
    document.title = `Thresholds · ${dataset.title}`;
  }, [dataset.title]);
  if (!rules) return <p class="waiting-page">Reading the rules…</p>;
  const names = [...new Set(rules.settings.map((setting) => setting.rule))];
  return (
    <div class="thresholds">
      <section class="rules" aria-labelledby="thresholds-title">
        <header>
          <h1 id="thresholds-title">Thresholds</h1>
          <p class="faint">Move one and see what would be kept. Nothing changes before you run the command.</p>
        </header>
        {names.map((rule) => (
          <RuleBox
            key={rule}
            settings={rules.settings.filter((setting) => setting.rule === rule)}
            moved={settings}
            histograms={histograms}
            onMove={(part) => (moved.value = tidy({ ...moved.value, ...part }, rules.settings))}
          />
        ))}
      </section>
      <section class="outcome" aria-label="What would be kept" aria-live="polite">
        {answer && <Outcome answer={answer} dataset={dataset.dataset} />}
        {Object.keys(settings).length > 0 && (
          <button type="button" onClick={() => (moved.value = {})}>
            As in the dataset
          </button>
        )}
      </section>
    </div>
  );
}

/** Only what differs from the dataset's own. */
function tidy(moved: Moved, settings: readonly RuleSetting[]): Moved {
  const own = new Map(settings.map((setting) => [setting.name, setting.on ? setting.value : null]));
  return Object.fromEntries(Object.entries(moved).filter(([name, value]) => own.get(name) !== value));
}

interface RuleBoxProps {
  settings: readonly RuleSetting[];
  moved: Moved;
  histograms: Shapes;
  onMove: (part: Moved) => void;
}

function RuleBox({ settings, moved, histograms, onMove }: RuleBoxProps) {
  const rule = settings[0]!.rule;
  const valueOf = (setting: RuleSetting) => (setting.name in moved ? moved[setting.name]! : setting.on ? setting.value : null);
  const on = settings.every((setting) => valueOf(setting) !== null);
  return (
    <fieldset class={on ? 'rule' : 'rule off'}>
      <legend>
        <label>
          <input
            type="checkbox"
            checked={on}
            onChange={() => onMove(Object.fromEntries(settings.map((setting) => [setting.name, on ? null : setting.value])))}
          />
          {rule.replaceAll('_', ' ')}
        </label>
      </legend>
      {settings.map((setting) => {
        const value = valueOf(setting) ?? setting.value;
        return (
          <div key={setting.name} class="setting">
            <span class="name">{setting.name.slice(rule.length + 1).replace(/\.\d$/, '').replaceAll('_', ' ')}</span>
            <Shape shapes={setting.column ? histograms[setting.column] : undefined} setting={setting} value={value} />
            <input
              type="range"
              aria-label={setting.name}
              min={setting.lowest}
              max={setting.highest}
              step={(setting.highest - setting.lowest) / 200}
              value={value}
              disabled={!on}
              onInput={(event) => onMove({ [setting.name]: event.currentTarget.valueAsNumber })}
            />
            <output class={value === setting.value ? 'number faint' : 'number changed'}>
              {setting.side === 'low' ? '≥' : '≤'} {measured(value)}
            </output>
          </div>
        );
      })}
    </fieldset>
  );
}

type Shapes = Record<string, { samples?: Histogram; stopped?: Histogram }>;

/** How the clips lie along a value: kept ones above the line, stopped ones below it. */
function Shape({ shapes, setting, value }: { shapes: Shapes[string] | undefined; setting: RuleSetting; value: number }) {
  const { lowest, highest, side } = setting;
  const x = (number: number) => (200 * (number - lowest)) / (highest - lowest || 1);
  const draw = (histogram: Histogram | undefined, up: boolean) => {
    const most = Math.sqrt(Math.max(1, ...(histogram?.counts ?? [])));
    return histogram?.counts
      .map((number, n) => {
        const [from, to] = [Math.max(0, x(histogram.edges[n]!)), Math.min(200, x(histogram.edges[n + 1]!))];
        const tall = (Math.sqrt(number) / most) * 15;
        return number && to > from ? `M${from} 16h${Math.max(1, to - from - 0.5)}v${up ? -tall : tall}H${from}z` : '';
      })
      .join('');
  };
  const at = Math.max(0, Math.min(200, x(value)));
  return (
    <svg class="shape" viewBox="0 0 200 32" preserveAspectRatio="none" aria-hidden="true">
      <rect class="kept" x={side === 'low' ? at : 0} width={side === 'low' ? 200 - at : at} y="0" height="32" />
      <path class="samples" d={draw(shapes?.samples, true) ?? ''} />
      <path class="stopped" d={draw(shapes?.stopped, false) ?? ''} />
    </svg>
  );
}

function useHistograms(dataset: string, columns: readonly string[]): Shapes {
  const known = {
    samples: useColumns(dataset, 'samples').value ?? [],
    stopped: useColumns(dataset, 'stopped').value ?? [],
  };
  const there = (kind: Kind) => columns.filter((name) => known[kind].some((column) => column.name === name));
  const ask = async (kind: Kind) =>
    there(kind).length ? post<Facets>(api(dataset, 'facets'), { filter: { kind }, columns: there(kind), bins: 60 }) : null;
  const samples = useAnswer([dataset, there('samples')], () => ask('samples')).value;
  const stopped = useAnswer([dataset, there('stopped')], () => ask('stopped')).value;
  const of = (answer: Facets | null, name: string) => answer?.facets.find((one) => one.column === name && one.kind === 'number');
  return Object.fromEntries(
    columns.map((name) => {
      const [up, down] = [of(samples, name), of(stopped, name)];
      return [name, { ...(up && { samples: up as Histogram }), ...(down && { stopped: down as Histogram }) }];
    }),
  );
}

function Outcome({ answer, dataset }: { answer: Thresholds; dataset: string }) {
  const change = answer.kept - answer.was_kept;
  const most = Math.max(1, ...answer.reasons.map((reason) => reason.count));
  return (
    <>
      <Figure
        title="Would be kept"
        value={count(answer.kept)}
        note={change ? `${change > 0 ? '+' : '−'}${count(Math.abs(change))} against ${count(answer.was_kept)} now` : 'as now'}
      />
      <p class="number">
        {counted(answer.gained, 'clip')} gained, {counted(answer.lost, 'clip')} lost.
        {answer.unknown > 0 && ` Of ${counted(answer.unknown, 'clip')} a value was never measured.`}
      </p>
      <Keys title="Gained" keys={answer.gained_keys} kind="stopped" dataset={dataset} />
      <Keys title="Lost" keys={answer.lost_keys} kind="samples" dataset={dataset} />
      <h2>Why clips would stop</h2>
      <ul class="reasons">
        {answer.reasons.map(({ word, count: number }) => (
          <li key={word} style={{ '--share': String(number / most) }}>
            <span>{word}</span>
            <span class="number faint">{count(number)}</span>
          </li>
        ))}
      </ul>
      <h2>The command</h2>
      <code class="command" tabIndex={0}>
        {answer.command}
      </code>
      {navigator.clipboard && (
        <button type="button" class="quiet" onClick={() => void navigator.clipboard.writeText(answer.command).then(() => say('Copied.'))}>
          Copy
        </button>
      )}
    </>
  );
}

function Keys({ title, keys, kind, dataset }: { title: string; keys: readonly string[]; kind: string; dataset: string }) {
  if (!keys.length) return null;
  const named = (home.value?.datasets.length ?? 0) > 1;
  const view = written({ of: 'keys', keys: keys.slice(0, 200) });
  const to = address(`/clip/${keys[0]}`, { dataset: named ? dataset : null, kind: kind === 'stopped' ? kind : null, view });
  return <Link to={to}>{`${title}: look at ${keys.length === 1 ? 'it' : count(keys.length)}`}</Link>;
}
